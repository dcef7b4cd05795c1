"""Who may run on the machine's own root file system."""

from __future__ import annotations

import pytest

from edgevirt.api.core import Capabilities, Container, SecurityContext
from edgevirt.engine.kubelet.users import User, confinement_fault

pytestmark = pytest.mark.unit

LAUNCHER = User(107, 107, (107,))


def container(**changes: object) -> Container:
    security = {"allow_privilege_escalation": False, **changes}
    return Container(name="compute", security_context=SecurityContext(**security))  # type: ignore[arg-type]


def test_launcher_may() -> None:
    needs = Capabilities(drop=("ALL",), add=("NET_BIND_SERVICE",))
    assert confinement_fault(LAUNCHER, container(capabilities=needs), 107) == ""


@pytest.mark.parametrize(
    "user", [User(0, 0), User(107, 0), User(107, 107, (42,)), User(1000, 1000), User(107, 107, (107, 6))]
)
def test_nobody_who_may_own_something_may(user: User) -> None:
    assert "runs as user and group 107 only" in confinement_fault(user, container(), 107)


@pytest.mark.parametrize(
    "changes",
    [
        {"allow_privilege_escalation": None},
        {"allow_privilege_escalation": True},
        {"privileged": True},
        {"capabilities": Capabilities(add=("DAC_READ_SEARCH",))},
    ],
)
def test_nobody_who_can_become_more_may(changes: dict[str, object]) -> None:
    assert confinement_fault(LAUNCHER, container(**changes), 107) != ""


def test_container_without_security_context_may_not() -> None:
    assert confinement_fault(LAUNCHER, Container(name="a"), 107) != ""
