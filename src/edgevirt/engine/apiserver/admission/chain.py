"""The admission chain: built-in plugins and webhooks, in Kubernetes' order.

Mutating phase: plugins, then mutating webhooks; if a webhook changed the object the plugins run again
(they are idempotent), so that a container a webhook added gets its token mount as well. Validating phase:
the escalation check on the final object, then policies, then validating webhooks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgevirt.engine.apiserver.admission.matching import Target, target_of
from edgevirt.engine.apiserver.admission.plugin import Plugin
from edgevirt.engine.apiserver.admission.policies import Policies
from edgevirt.engine.apiserver.admission.webhooks import Webhooks
from edgevirt.engine.apiserver.request import AdmissionAttributes


class Chain:
    """Implements `extension.AdmissionChain`."""

    def __init__(
        self,
        mutating: Sequence[Plugin],
        validating: Sequence[Plugin],
        policies: Policies,
        webhooks: Webhooks,
        close: Callable[[], Any],
    ) -> None:
        self._mutating = tuple(mutating)
        self._validating = tuple(validating)
        self._policies = policies
        self._webhooks = webhooks
        self._close = close

    def concerns(self, group: str, version: str, plural: str, subresource: str, operation: str) -> bool:
        """Whether any part could have an interest; the scope is not known here, so both are assumed."""
        if any(
            plugin.concerns(group, plural, subresource, operation)
            for plugin in (*self._mutating, *self._validating)
        ):
            return True
        return any(
            part.concerns(Target(group, version, plural, subresource, operation, namespaced))
            for part in (self._webhooks, self._policies)
            for namespaced in (True, False)
        )

    async def mutate(self, attributes: AdmissionAttributes) -> dict[str, Any] | None:
        """Runs the mutating phase; returns the object to go on with. Raises StatusError."""
        self._run(self._mutating, attributes)
        if self._webhooks.mutating.matching(target_of(attributes)) and await self._webhooks.mutate(
            attributes
        ):
            self._run(self._mutating, attributes)
        return attributes.object

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Runs the validating phase. Raises StatusError."""
        self._run(self._validating, attributes)
        self._policies.validate(attributes)
        if self._webhooks.validating.matching(target_of(attributes)):
            await self._webhooks.validate(attributes)

    async def close(self) -> None:
        """Closes connections to webhooks."""
        await self._close()

    @staticmethod
    def _run(plugins: Sequence[Plugin], attributes: AdmissionAttributes) -> None:
        resource = attributes.resource
        for plugin in plugins:
            if plugin.concerns(resource.group, resource.plural, attributes.subresource, attributes.operation):
                plugin.admit(attributes)
