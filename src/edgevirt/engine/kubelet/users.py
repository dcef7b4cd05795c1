"""Who a container runs as: numbers from the pod, or names looked up in the image's own passwd and group."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path

from edgevirt.api.core import Container, Pod
from edgevirt.linux.openat2 import open_in_root

_MAX_FILE = 1 << 20


class BadUser(Exception):
    """The user cannot be determined, or is root where the pod forbids it."""


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def confinement_fault(user: User, container: Container, only: int) -> str:
    """Why the container may not run on the machine's own root file system; "" if it may.

    It could read there whatever its user, its groups, its capabilities or a setuid program let it. So it has
    to be the one user who owns nothing, and can become no other.
    """
    security = container.security_context
    if (user.uid, user.gid) != (only, only) or any(group != only for group in user.groups):
        return f"runs as user and group {only} only; set runAsUser and runAsGroup, and no supplementalGroups"
    if security is None or security.allow_privilege_escalation is not False or security.privileged:
        return "needs allowPrivilegeEscalation: false and no privileged"
    if security.capabilities and set(security.capabilities.add) - {"NET_BIND_SERVICE"}:
        return "adds no capability but NET_BIND_SERVICE"
    return ""


def resolve(pod: Pod, container: Container, image_user: str, root: Path) -> User:
    """The user of `container` whose image has the root directory `root` and asks for `image_user`."""
    general = pod.spec.security_context if pod.spec else None
    own = container.security_context
    uid = own.run_as_user if own and own.run_as_user is not None else general.run_as_user if general else None
    gid = (
        own.run_as_group
        if own and own.run_as_group is not None
        else general.run_as_group
        if general
        else None
    )
    non_root = own.run_as_non_root if own and own.run_as_non_root is not None else None
    if non_root is None and general:
        non_root = general.run_as_non_root
    passwd = _table(root, "etc/passwd")
    groups: set[int] = set(general.supplemental_groups) if general else set()
    if general and general.fs_group is not None:
        groups.add(general.fs_group)
    found_uid, found_gid, home, name = _lookup(
        str(uid) if uid is not None else image_user or "0", passwd, root
    )
    if non_root and found_uid == 0:
        raise BadUser("container has runAsNonRoot and would run as root; set securityContext.runAsUser")
    if not (general and general.supplemental_groups_policy == "Strict"):
        groups |= {
            int(entry[2]) for entry in _table(root, "etc/group") if name and name in entry[3].split(",")
        }
    return User(found_uid, found_gid if gid is None else gid, tuple(sorted(groups)), home)


def _lookup(user: str, passwd: list[list[str]], root: Path) -> tuple[int, int, str, str]:
    """(uid, gid, home, name) of "name", "uid", "name:group" or "uid:gid"."""
    who, _, group = user.partition(":")
    entry = next((e for e in passwd if who in (e[0], e[2])), None) if who.isdigit() else None
    if entry is None:
        entry = next((e for e in passwd if e[0] == who), None)
    if entry is None and not who.isdigit():
        raise BadUser(f"the image wants to run as {who!r}, which its /etc/passwd does not know")
    uid = int(entry[2]) if entry else int(who)
    gid = int(entry[3]) if entry else 0
    if group.isdigit():
        gid = int(group)
    elif group:
        match = next((e for e in _table(root, "etc/group") if e[0] == group), None)
        if match is None:
            raise BadUser(f"the image wants to run with group {group!r}, which its /etc/group does not know")
        gid = int(match[2])
    return uid, gid, (entry[5] if entry and len(entry) > 5 and entry[5] else "/"), entry[0] if entry else ""


def _table(root: Path, name: str) -> list[list[str]]:
    with contextlib.suppress(OSError):
        top = os.open(root, os.O_PATH | os.O_DIRECTORY)
        try:
            with os.fdopen(open_in_root(top, name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                data = file.read(_MAX_FILE)
        finally:
            os.close(top)
        rows = [line.split(":") for line in data.decode(errors="replace").splitlines() if ":" in line]
        return [row for row in rows if len(row) >= 4 and row[2].isdigit()]
    return []
