"""Nobody can grant more than they hold: the check on writes of roles and bindings.

Whoever creates or changes a role must hold all its rules in that scope already, or the verb "escalate" on
it; whoever binds a role must hold its rules, or the verb "bind" on it. Otherwise the right to write
roles would be the right to everything. Messages follow a real API server's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.auth.rbac import RBAC_GROUP, SUPERUSERS, RoleBasedAccess
from edgevirt.engine.apiserver.auth.rules import ALL, Rule, compact, go_list, not_covered, rules_of
from edgevirt.engine.apiserver.request import Attributes, UserInfo

_EVERYTHING = (
    Rule(verbs=(ALL,), api_groups=(ALL,), resources=(ALL,)),
    Rule(verbs=(ALL,), urls=(ALL,)),
)


def check_role(
    access: RoleBasedAccess,
    user: UserInfo,
    plural: str,
    namespace: str,
    name: str,
    role: Mapping[str, Any],
    old: Mapping[str, Any] | None,
) -> None:
    """Refuses (StatusError 403) a write of a Role or ClusterRole that grants what `user` does not hold."""
    if SUPERUSERS in user.groups or _unchanged(role, old, ("rules", "aggregationRule")):
        return
    if _may(access, user, "escalate", plural, namespace, name):
        return
    held = list(access.rules_for(user, namespace))
    if role.get("aggregationRule") and not_covered(_EVERYTHING, held):
        raise errors.forbidden(
            f"{plural}.{RBAC_GROUP}", name, "must have cluster-admin privileges to use the aggregationRule"
        )
    _refuse_missing(user, plural, name, not_covered(rules_of(role), held))


def check_binding(
    access: RoleBasedAccess,
    user: UserInfo,
    plural: str,
    namespace: str,
    name: str,
    binding: Mapping[str, Any],
    old: Mapping[str, Any] | None,
) -> None:
    """Refuses a write of a RoleBinding or ClusterRoleBinding to a role that `user` does not hold.

    Raises StatusError 403, or 404 when the role does not exist (its rules cannot be compared then).
    """
    if SUPERUSERS in user.groups or _unchanged(binding, old, ("subjects", "roleRef")):
        return
    reference = binding.get("roleRef") or {}
    kind, role_name = reference.get("kind", ""), reference.get("name", "")
    role_plural = "clusterroles" if kind == "ClusterRole" else "roles"
    if _may(access, user, "bind", role_plural, namespace, role_name):
        return
    wanted = access.rules_of_role(kind, role_name, namespace)
    if wanted is None:
        raise errors.not_found(f"{role_plural}.{RBAC_GROUP}", role_name)
    held = list(access.rules_for(user, namespace))
    _refuse_missing(user, plural, name, not_covered(wanted, held))


def _refuse_missing(user: UserInfo, plural: str, name: str, missing: Sequence[Rule]) -> None:
    if not missing:
        return
    lines = sorted(str(rule) for rule in compact(missing))
    raise errors.forbidden(
        f"{plural}.{RBAC_GROUP}",
        name,
        f'user "{user.name}" (groups={go_list(user.groups)}) is attempting to grant RBAC permissions not '
        "currently held:\n" + "\n".join(lines),
    )


def _may(access: RoleBasedAccess, user: UserInfo, verb: str, plural: str, namespace: str, name: str) -> bool:
    question = Attributes(user, verb, RBAC_GROUP, "v1", plural, "", namespace, name)
    return access.authorize(question).allowed


def _unchanged(new: Mapping[str, Any], old: Mapping[str, Any] | None, fields: Sequence[str]) -> bool:
    return old is not None and all((new.get(field) or None) == (old.get(field) or None) for field in fields)
