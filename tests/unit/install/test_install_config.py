"""The configuration file: what is kept, what is refused and in which words."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgevirt.install.standalone import config
from edgevirt.install.standalone.config import Config, ConfigError

pytestmark = pytest.mark.unit


def test_missing_file_means_the_defaults(tmp_path: Path) -> None:
    assert config.load(tmp_path / "config.yaml").api_port == 6443


def test_saved_settings_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "config.yaml"
    settings = Config(api_port=7443, node_name="edge-1", bridge="br7")
    config.save(path, settings)
    assert config.load(path) == settings
    assert path.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in path.parent.iterdir()] == ["config.yaml"]


def test_empty_file_means_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("")
    assert config.load(path).pod_subnet == "10.244.0.0/24"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apiPortt: 1", "`apiPortt`; the keys are apiAddress, apiPort"),
        ("apiPort: many", "Expected `int`, got `str` - at `$.apiPort`"),
        ("- 1", "Expected `object`, got `array`"),
        ("[1", "is not YAML"),
        ("apiPort: 0", "apiPort is 0 but must be between 1 and 65535"),
        ("kubeletPort: 6443", "apiPort and kubeletPort are both 6443"),
        ("podSubnet: 10.1.0.0/33", "must look like 10.244.0.0/24"),
        ("podSubnet: 10.1.0.1/24", "has host bits set"),
        ("podSubnet: 10.1.0.0/29", "at least /28"),
        ("podSubnet: 'fd00::/64'", "must be an IPv4 network"),
        ("podSubnet: 127.0.0.0/8", "network that hosts can have"),
        ("apiAddress: everywhere", "must be an IP address"),
        ("nodeName: Edge_1", "nodeName is 'Edge_1'"),
        ("bridge: a-name-that-is-too-long", "1 to 15 letters"),
        ("bridge: a/b", "bridge is 'a/b'"),
        ('bridge: "br0\\n"', "1 to 15 letters"),
        ("bridge: ..", "bridge is '..'"),
        ("cgroup: ../x", "cgroup is '../x'"),
    ],
)
def test_bad_file_is_refused_with_its_name_and_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        config.load(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)
    assert str(path) in refused.value.next_step


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(path)


def test_bad_option_points_to_the_help() -> None:
    with pytest.raises(ConfigError) as refused:
        config.check(msgspec.structs.replace(Config(), bridge=""), config.OPTIONS)
    assert refused.value.next_step == "edgevirt up --help"
