"""The machine's apt sources, as far as they are Debian 12, for an apt that works in another root.

What apt itself made of its configuration is asked (`indextargets`, `config dump`), so both formats of
sources, included files, proxies and date checks are met as apt meets them; third-party sources and other
releases are left out. The package lists of the machine are used as they are: no second `apt-get update`,
and no network at all while every archive is in the cache.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

from edgevirt.storage.guests.tools import BuildError, run

CODENAME = "bookworm"
_RELEASES = frozenset({CODENAME, f"{CODENAME}-updates", f"{CODENAME}-security"})
_FORMAT = "$(SITE)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)|$(CODENAME)"
_SETTINGS = re.compile(r'^Acquire::(https?|ftp|Check-|Max-ValidTime|Retries|ForceIPv|Languages)\S* ".*";$')
# Passwords of mirrors lie beside the sources.
_LOGINS = 'Dir::Etc::netrc "/etc/apt/auth.conf";\nDir::Etc::netrcparts "/etc/apt/auth.conf.d";\n'


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Source:
    """One line of sources.list."""

    site: str
    release: str
    components: tuple[str, ...]

    def line(self) -> str:
        return f"deb {self.site} {self.release} {' '.join(self.components)}\n"

    def public(self) -> Source:
        """The same without a user name and password in the address."""
        return dataclasses.replace(self, site=re.sub(r"://[^/@]*@", "://", self.site))


def debian_sources() -> tuple[Source, ...]:
    """The machine's sources of Debian 12. Raises BuildError if it has none."""
    return parse_targets(
        run(["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"]).decode()
    )


def parse_targets(shown: str) -> tuple[Source, ...]:
    """Sources from apt's index targets, one "site|release|component|origin|codename" a line."""
    components: dict[tuple[str, str], list[str]] = {}
    for line in shown.splitlines():
        site, release, component, origin, codename = line.split("|")
        if origin == "Debian" and codename in _RELEASES:
            known = components.setdefault((site, release), [])
            if component not in known:
                known.append(component)
    if not any(_is_base(release) for _, release in components):
        raise BuildError(
            f"apt's sources on this machine hold no Debian 12 ({CODENAME}): add them, for example "
            f"'deb http://deb.debian.org/debian {CODENAME} main', and run apt-get update"
        )
    return tuple(Source(site, release, tuple(found)) for (site, release), found in components.items())


def _is_base(release: str) -> bool:
    """Whether a release holds the distribution itself, not only its updates."""
    return not release.endswith(("-updates", "-security", "/updates"))


def fetch_settings() -> str:
    """The machine's apt settings about fetching (proxies, date checks, logins), in apt.conf's format."""
    return parse_settings(run(["apt-config", "dump"]).decode().splitlines())


def parse_settings(lines: Iterable[str]) -> str:
    kept = [line for line in lines if _SETTINGS.match(line) and not line.endswith(' "";')]
    return "".join(f"{line}\n" for line in kept) + _LOGINS


def package_lists() -> Path:
    """Where the machine keeps its package lists."""
    return Path("/var/lib/apt/lists")
