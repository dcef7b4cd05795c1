"""Mutating and validating webhooks: who is asked, in which order, and what an answer means.

Mutating webhooks are asked one after the other, each seeing the object as the previous one left it; those
that ask for it (reinvocationPolicy IfNeeded) once more if somebody changed the object after them.
Validating webhooks are asked all at once on the final object; the first refusal in their order counts.
"""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import jsonpatch
import jsonpointer
import msgspec

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.admission import review
from edgevirt.engine.apiserver.admission.caller import CallFailed, WebhookCaller
from edgevirt.engine.apiserver.admission.failures import ConditionError
from edgevirt.engine.apiserver.admission.matching import Match, Target, WebhookTable, selected, target_of
from edgevirt.engine.apiserver.conversion import in_version
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.extension import Authorizer, ObjectReader
from edgevirt.engine.apiserver.request import AdmissionAttributes
from edgevirt.engine.apiserver.writing.patch import apply_counted

Json = dict[str, Any]
ADMISSION_GROUP = "admissionregistration.k8s.io"


class Webhooks:
    """Both kinds of webhooks, following their configurations in the store."""

    def __init__(
        self,
        reader: ObjectReader,
        caller: WebhookCaller,
        versions: Callable[[str, str], Sequence[str]],
        authorizer: Authorizer,
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._reader = reader
        self._caller = caller
        self._authorizer = authorizer
        self._new_uid = new_uid
        self.mutating = WebhookTable(versions)
        self.validating = WebhookTable(versions)

    def observe(self) -> None:
        """Follows the configurations from now on."""
        self._reader.observe(ADMISSION_GROUP, "mutatingwebhookconfigurations", self.mutating.apply)
        self._reader.observe(ADMISSION_GROUP, "validatingwebhookconfigurations", self.validating.apply)

    def forget_matches(self) -> None:
        """To be called when the served resources have changed."""
        self.mutating.forget()
        self.validating.forget()

    def concerns(self, target: Target) -> bool:
        return bool(self.mutating.matching(target) or self.validating.matching(target))

    async def mutate(self, attributes: AdmissionAttributes) -> bool:
        """Lets mutating webhooks change `attributes.object`; tells whether any did. Raises StatusError."""
        changed_at_all = False
        again: dict[Match, None] = {}
        seen: list[Match] = []
        for match in self._selected(self.mutating, attributes):
            if await self._mutate_once(match, attributes):
                changed_at_all = True
                again.update(dict.fromkeys(seen))
            if match.webhook.reinvoke:
                seen.append(match)
        for match in again:
            await self._mutate_once(match, attributes)
        return changed_at_all

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Raises the StatusError of the first validating webhook that refuses."""
        matches = list(self._selected(self.validating, attributes))
        if not matches:
            return
        if len(matches) == 1:
            answers = [await self._ask_validating(matches[0], attributes)]
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ask_validating(match, attributes)) for match in matches]
            answers = [task.result() for task in tasks]
        for match, answer in zip(matches, answers, strict=True):
            if isinstance(answer, review.Answer):
                _note(match, attributes, answer)
        for answer in answers:
            if isinstance(answer, StatusError):
                raise answer

    def _selected(self, table: WebhookTable, attributes: AdmissionAttributes) -> list[Match]:
        matches = table.matching(target_of(attributes))
        if not matches:
            return []
        labels = self._namespace_labels(attributes)
        states = (attributes.object, attributes.old_object)
        return [match for match in matches if selected(match.webhook, labels, states)]

    def _namespace_labels(self, attributes: AdmissionAttributes) -> dict[str, str] | None:
        """Labels of the object's namespace; of the object itself if it is a namespace; else None."""
        resource = attributes.resource
        if resource.group_resource == "namespaces":
            document = attributes.object if not attributes.subresource else None
            document = document or attributes.old_object
        elif resource.namespaced:
            document = self._reader.get("", "namespaces", "", attributes.namespace)
            if document is None:
                raise errors.not_found("namespaces", attributes.namespace)
        else:
            return None
        metadata: Json = (document or {}).get("metadata") or {}
        return metadata.get("labels") or {}

    async def _mutate_once(self, match: Match, attributes: AdmissionAttributes) -> bool:
        """Asks one webhook and applies its patch; tells whether the object changed."""
        webhook = match.webhook
        answer = await self._ask(match, attributes, mutating=True)
        if answer is None:
            return False
        _note(match, attributes, answer)
        if not answer.allowed:
            raise review.denial(webhook.name, answer.status)
        if not answer.patch:
            return False
        if attributes.object is None:
            raise errors.internal(
                f'admission webhook "{webhook.name}" attempted to modify the object, which is not supported '
                "for this operation"
            )
        resource = attributes.resource
        shown = await in_version(resource, attributes.object, match.version)
        patched = apply_patch(copy.deepcopy(shown or {}), answer.patch)
        result = await in_version(resource, patched, resource.version)
        if _identity(patched) != _identity(shown):
            raise errors.internal(
                f'admission webhook "{webhook.name}" attempted to change apiVersion, kind, name or namespace '
                "of the object"
            )
        changed = result != attributes.object
        attributes.object = result
        return changed

    async def _ask_validating(
        self, match: Match, attributes: AdmissionAttributes
    ) -> review.Answer | StatusError | None:
        """The answer, None if the webhook did not count, or the refusal."""
        try:
            answer = await self._ask(match, attributes, mutating=False)
        except StatusError as error:
            return error
        if answer is not None and not answer.allowed:
            _note(match, attributes, answer)
            return review.denial(match.webhook.name, answer.status)
        return answer

    async def _ask(
        self, match: Match, attributes: AdmissionAttributes, mutating: bool
    ) -> review.Answer | None:
        """One question; None if conditions or failurePolicy Ignore take the webhook out."""
        webhook = match.webhook
        if attributes.dry_run and webhook.side_effects not in ("None", "NoneOnDryRun"):
            raise errors.bad_request(f'admission webhook "{webhook.name}" does not support dry run')
        try:
            return await self._ask_or_fail(match, attributes, mutating)
        except (CallFailed, ConditionError) as error:
            why = str(error)
        except review.InvalidAnswer as error:
            why = f"received invalid webhook response: {error}"
        if webhook.fail_closed:
            raise errors.internal(f'failed calling webhook "{webhook.name}": {why}')
        prefix = (
            f"failed-open.{'mutation' if mutating else 'validating'}.webhook.admission.k8s.io/round_0_index_"
        )
        index = sum(key.startswith(prefix) for key in attributes.audit_annotations)
        attributes.audit_annotations[f"{prefix}{index}"] = webhook.name
        return None

    async def _ask_or_fail(
        self, match: Match, attributes: AdmissionAttributes, mutating: bool
    ) -> review.Answer | None:
        """As `_ask`, with every failure as an exception: CallFailed, ConditionError, InvalidAnswer."""
        webhook = match.webhook
        if webhook.broken:
            raise CallFailed(webhook.broken)
        resource = attributes.resource
        document = await in_version(resource, attributes.object, match.version)
        old = await in_version(resource, attributes.old_object, match.version)
        uid = self._new_uid()
        request = review.request_document(attributes, uid, match.version, document, old)
        if webhook.conditions and not webhook.conditions.hold(
            attributes, request, self._authorizer, document, old
        ):
            return None
        body = msgspec.json.encode(
            {"kind": "AdmissionReview", "apiVersion": review.API_VERSION, "request": request}
        )
        return review.read_answer(await self._caller.call(webhook, body), uid, mutating)


def _note(match: Match, attributes: AdmissionAttributes, answer: review.Answer) -> None:
    """Keeps what a webhook has to say beside its verdict: warnings, and annotations under its name."""
    attributes.warnings.extend(answer.warnings)
    for key, value in answer.audit_annotations.items():
        attributes.audit_annotations[f"{match.webhook.name}/{key}"] = value


def apply_patch(document: Json, operations: Sequence[Json]) -> Json:
    """`document` after a JSON patch, perhaps changed in place. Raises StatusError 500 if it does not fit."""
    try:
        patched = apply_counted(list(operations), document)
    except (
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise errors.internal(f"the webhook's JSON patch does not apply: {error}") from error
    if not isinstance(patched, dict):
        raise errors.internal("the webhook's JSON patch replaced the object by something else")
    return patched


def _identity(document: Json | None) -> tuple[object, ...]:
    """What a webhook must leave as it is, because the request was authorised for exactly that."""
    shown = document or {}
    metadata = shown.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return (shown.get("apiVersion"), shown.get("kind"), metadata.get("name"), metadata.get("namespace"))
