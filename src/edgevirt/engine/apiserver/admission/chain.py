"""The admission chain: built-in plugins, policies and webhooks, in Kubernetes' order.

Mutating phase: plugins, then mutating policies and webhooks; if these changed the object the plugins run
again (they are idempotent), so that a container a webhook added gets its token mount as well. Validating
phase: the escalation check on the final object, then policies, then validating webhooks, and at the very end
the quotas, because only what passed everything else is charged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgevirt.engine.apiserver.admission.matching import Target, target_of
from edgevirt.engine.apiserver.admission.mutating_policies import MutatingPolicies
from edgevirt.engine.apiserver.admission.plugin import Plugin
from edgevirt.engine.apiserver.admission.policies import Policies
from edgevirt.engine.apiserver.admission.resource_quota import ResourceQuotas
from edgevirt.engine.apiserver.admission.webhooks import Webhooks
from edgevirt.engine.apiserver.request import AdmissionAttributes

Plugins = tuple[Plugin, ...]

_REMEMBERED = 4096


class Chain:
    """Implements `extension.AdmissionChain`."""

    def __init__(
        self,
        mutating: Sequence[Plugin],
        validating: Sequence[Plugin],
        mutating_policies: MutatingPolicies,
        policies: Policies,
        webhooks: Webhooks,
        quotas: ResourceQuotas | None,
        close: Callable[[], Any],
    ) -> None:
        self._mutating = tuple(mutating)
        self._validating = tuple(validating)
        self._mutating_policies = mutating_policies
        self._policies = policies
        self._webhooks = webhooks
        self._quotas = quotas
        self._close = close
        self._interested: dict[tuple[str, str, str, str], tuple[Plugins, Plugins]] = {}

    def concerns(self, group: str, version: str, plural: str, subresource: str, operation: str) -> bool:
        """Whether any part could have an interest; the scope is not known here, so both are assumed."""
        mutating, validating = self._plugins(group, plural, subresource, operation)
        if mutating or validating:
            return True
        if self._quotas is not None and self._quotas.concerns(group, plural, subresource, operation):
            return True
        return any(
            part.concerns(Target(group, version, plural, subresource, operation, namespaced))
            for part in (self._webhooks, self._policies, self._mutating_policies)
            for namespaced in (True, False)
        )

    def _plugins(self, group: str, plural: str, subresource: str, operation: str) -> tuple[Plugins, Plugins]:
        """The mutating and the validating plugins with an interest; it depends on nothing else."""
        key = (group, plural, subresource, operation)
        found = self._interested.get(key)
        if found is None:
            if len(self._interested) >= _REMEMBERED:
                self._interested.clear()
            found = self._interested[key] = (
                tuple(plugin for plugin in self._mutating if plugin.concerns(*key)),
                tuple(plugin for plugin in self._validating if plugin.concerns(*key)),
            )
        return found

    def _plugins_for(self, attributes: AdmissionAttributes) -> tuple[Plugins, Plugins]:
        resource = attributes.resource
        return self._plugins(resource.group, resource.plural, attributes.subresource, attributes.operation)

    async def mutate(self, attributes: AdmissionAttributes) -> dict[str, Any] | None:
        """Runs the mutating phase; returns the object to go on with. Raises StatusError."""
        plugins, _ = self._plugins_for(attributes)
        _run(plugins, attributes)
        changed = await self._mutating_policies.mutate(attributes)
        if self._webhooks.mutating.matching(target_of(attributes)) and await self._webhooks.mutate(
            attributes
        ):
            changed = True
            await self._mutating_policies.mutate(attributes, again=True)
        if changed:
            _run(plugins, attributes)
        return attributes.object

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Runs the validating phase. Raises StatusError."""
        _, plugins = self._plugins_for(attributes)
        _run(plugins, attributes)
        await self._policies.validate(attributes)
        if self._webhooks.validating.matching(target_of(attributes)):
            await self._webhooks.validate(attributes)
        if self._quotas is not None:
            await self._quotas.charge(attributes)

    async def close(self) -> None:
        """Closes connections to webhooks."""
        await self._close()


def _run(plugins: Plugins, attributes: AdmissionAttributes) -> None:
    for plugin in plugins:
        plugin.admit(attributes)
