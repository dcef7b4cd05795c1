"""How a refused authorisation is worded: exactly as a Kubernetes API server does."""

from __future__ import annotations

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.request import Attributes, Decision


def refusal(attributes: Attributes, decision: Decision | None = None) -> errors.StatusError:
    """The 403 for a request that authorisation refused; the decision's reason is appended."""
    what = sentence(attributes)
    if decision is not None and decision.reason:
        what = f"{what}: {decision.reason}"
    if not attributes.resource:
        return errors.StatusError(403, "Forbidden", f"forbidden: {what}", errors.Details())
    return errors.forbidden(attributes.group_resource, attributes.name, what)


def sentence(attributes: Attributes) -> str:
    """'User "x" cannot list resource "pods" in API group "" in the namespace "y"'."""
    user = attributes.user.name
    if not attributes.resource:
        return f'User "{user}" cannot {attributes.verb} path "{attributes.path}"'
    resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
    scope = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    what = f'resource "{resource}" in API group "{attributes.group}"'
    return f'User "{user}" cannot {attributes.verb} {what} {scope}'
