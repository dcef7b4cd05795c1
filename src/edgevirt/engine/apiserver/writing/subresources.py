"""Subresources that are more than a part of the object: binding, eviction, finalize, token, scale."""

from __future__ import annotations

from typing import Any

from edgevirt.api.authentication import TokenRequest
from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import (
    Cause,
    StatusError,
    bad_request,
    conflict,
    invalid,
    method_not_supported,
    too_many_requests,
    unclassified,
)
from edgevirt.engine.apiserver.http.options import DeleteOptions
from edgevirt.engine.apiserver.labels import selects
from edgevirt.engine.apiserver.objects import decode_json, encode_json
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.schema.builtin import builtin_schema
from edgevirt.engine.apiserver.schema.workload_columns import label_selector_text
from edgevirt.engine.apiserver.writing.delete import Deletes
from edgevirt.engine.apiserver.writing.managedfields import ALWAYS_PRESENT, Manager, Scope, record_update
from edgevirt.engine.apiserver.writing.write import Request, Writes

Json = dict[str, Any]

_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_BUDGET_TEXT = "Cannot evict pod as it would violate the pod's disruption budget."
_RETRY_SECONDS = 10


class Subresources:
    """Answers as JSON bytes. All methods raise `StatusError`."""

    def __init__(self, cluster: Cluster, writes: Writes, deletes: Deletes) -> None:
        self._cluster = cluster
        self._writes = writes
        self._deletes = deletes

    async def bind(self, request: Request, binding: Json) -> bytes:
        """pods/binding: puts a pending pod on a node, once."""
        binding = await self._writes.admit(request, "CREATE", binding)
        metadata = binding.get("metadata") or {}
        if metadata.get("name") not in (None, "", request.name):
            raise bad_request("name in URL does not match name in Binding object")
        target = binding.get("target") or {}
        node = target.get("name") or ""
        if not node:
            raise unclassified("target.name: Required value")
        if target.get("kind") not in (None, "", "Node"):
            raise unclassified(
                f'target.kind: Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"'
            )

        def assign(pod: Json) -> Json:
            refusal = _binding_refusal(request.name, pod, node, metadata)
            if refusal is not None:
                raise refusal
            pod["spec"]["nodeName"] = node
            own = pod["metadata"]
            own["annotations"] = {**(own.get("annotations") or {}), **(metadata.get("annotations") or {})}
            if not own["annotations"]:
                del own["annotations"]
            status = pod.setdefault("status", {})
            status.pop("nominatedNodeName", None)
            status["conditions"] = _scheduled(status.get("conditions") or [], self._cluster.now())
            return pod

        await self._writes.update(request, assign, patch=True, owned=True)
        return encode_json(_SUCCESS)

    async def evict(self, request: Request, eviction: Json, options: DeleteOptions) -> bytes:
        """pods/eviction: deletes the pod if its disruption budgets allow it."""
        if (eviction.get("metadata") or {}).get("name") not in (None, "", request.name):
            raise bad_request("name in URL does not match name in Eviction object")
        await self._writes.admit(request, "CREATE", eviction)
        pod = self._cluster.object(
            request.resource, self._cluster.record(request.resource, request.namespace, request.name)
        )
        phase = (pod.get("status") or {}).get("phase")
        if phase not in ("Succeeded", "Failed", "Pending") and not pod["metadata"].get("deletionTimestamp"):
            await self._spend_budget(request, pod)
        await self._deletes.delete(request, options, admitted=True)
        return encode_json(_SUCCESS)

    async def _spend_budget(self, request: Request, pod: Json) -> None:
        budgets = self._cluster.registry.lookup("policy", "v1", "poddisruptionbudgets")
        if budgets is None:
            return
        labels = pod["metadata"].get("labels") or {}
        matching = [
            budget
            for budget in self._cluster.list("policy", "poddisruptionbudgets", request.namespace)
            if _selects((budget.get("spec") or {}).get("selector"), labels)
        ]
        if len(matching) > 1:
            raise StatusError(
                500,
                "InternalError",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                "does not support.",
            )
        for budget in matching:
            if _may_go_unhealthy(budget, pod):
                return
            await self._take_disruption(request, budgets, budget, pod["metadata"]["name"])

    async def _take_disruption(
        self, request: Request, budgets: ServedResource, budget: Json, pod: str
    ) -> None:
        name = budget["metadata"]["name"]
        now = self._cluster.now()

        def take(current: Json) -> Json:
            status = current.get("status") or {}
            if status.get("observedGeneration", 0) < current["metadata"].get("generation", 0):
                raise too_many_requests(
                    _BUDGET_TEXT,
                    _RETRY_SECONDS,
                    [
                        Cause(
                            "DisruptionBudget",
                            f"The disruption budget {name} is still being processed by the server.",
                        )
                    ],
                )
            if status.get("disruptionsAllowed", 0) <= 0:
                text = _sync_failure(name, status) or (
                    f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} "
                    f"healthy pods and has "
                    f"{status.get('currentHealthy', 0)} currently"
                )
                raise too_many_requests(_BUDGET_TEXT, 0, [Cause("DisruptionBudget", text)])
            status["disruptionsAllowed"] -= 1
            status["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: now}
            current["status"] = status
            return current

        await self._writes.update(
            Request(
                resource=budgets,
                namespace=request.namespace,
                name=name,
                subresource="status",
                user=request.user,
                manager=request.manager,
                options=request.options,
                warnings=request.warnings,
            ),
            take,
            patch=True,
        )

    async def finalize(self, request: Request, namespace: Json) -> bytes:
        """namespaces/finalize: replaces spec.finalizers and nothing else."""
        sent = namespace.get("metadata") or {}
        finalizers = (namespace.get("spec") or {}).get("finalizers")

        def replace(stored: Json) -> Json:
            stored["metadata"]["resourceVersion"] = sent.get("resourceVersion") or ""
            if sent.get("uid"):
                stored["metadata"]["uid"] = sent["uid"]
            spec = {name: value for name, value in (stored.get("spec") or {}).items() if name != "finalizers"}
            stored["spec"] = {**spec, "finalizers": finalizers} if finalizers else spec
            return stored

        return await self._writes.update(request, replace)

    async def token(self, request: Request, body: Json) -> bytes:
        """serviceaccounts/token: a token for the account, from the token issuer."""
        issuer = self._cluster.seams.token_issuer
        if issuer is None:
            raise method_not_supported("serviceaccounts/token", "create")
        record = self._cluster.record(request.resource, request.namespace, request.name)
        body = await self._writes.admit(request, "CREATE", body)
        answer = await issuer.issue(self._cluster.object(request.resource, record), body)
        answer["metadata"]["managedFields"] = self._token_owner(request, body, answer)
        return encode_json(answer)

    def _token_owner(self, request: Request, sent: Json, answer: Json) -> list[Json]:
        """Who asked for the token, as managedFields say it: what was sent and the lifetime."""
        spec = {name: value for name, value in (sent.get("spec") or {}).items() if value}
        spec["expirationSeconds"] = answer["spec"]["expirationSeconds"]
        asked: Json = {"metadata": {}, "spec": spec}
        manager = Manager(request.manager, "Update", answer["apiVersion"], "token")
        node = builtin_schema(TokenRequest, "authentication.k8s.io", "v1", "TokenRequest").merge_node()
        record_update(Scope(node, manager, self._cluster.now(), {}, ALWAYS_PRESENT), None, asked)
        entries: list[Json] = asked["metadata"]["managedFields"]
        return entries

    def scale(self, resource: ServedResource, obj: Json) -> Json:
        """The autoscaling/v1 Scale of an object."""
        assert resource.scale is not None
        metadata = obj["metadata"]
        shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        status: Json = {"replicas": _at(obj, resource.scale.status_replicas_path) or 0}
        if resource.scale.label_selector_path:
            selector = _at(obj, resource.scale.label_selector_path)
            if isinstance(selector, dict):
                selector = label_selector_text(selector)
            if selector:
                status["selector"] = selector
        replicas = _at(obj, resource.scale.spec_replicas_path)
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {name: metadata[name] for name in shown if name in metadata},
            "spec": {"replicas": replicas} if replicas else {},
            "status": status,
        }

    async def set_scale(self, request: Request, change: Any) -> bytes:
        """Sets the number of replicas; `change` is a Scale or a function that changes one."""
        resource = request.resource
        assert resource.scale is not None
        path = resource.scale.spec_replicas_path

        def rescale(obj: Json) -> Json:
            scale = change(self.scale(resource, obj)) if callable(change) else change
            version = (scale.get("metadata") or {}).get("resourceVersion")
            replicas = (scale.get("spec") or {}).get("replicas") or 0
            if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
                text = f"Invalid value: {encode_json(replicas).decode()}: must be a number of 0 or more"
                cause = Cause("FieldValueInvalid", text, "spec.replicas")
                raise invalid("Scale", "autoscaling", request.name, [cause])
            _put(obj, path, replicas)
            if version:
                obj["metadata"]["resourceVersion"] = version
            return obj

        record = self._cluster.record(resource, request.namespace, request.name)
        nobodys = not _has_owner(self._cluster.object(resource, record), path)
        data = await self._writes.update(request, rescale, patch=True, owned=nobodys)
        return encode_json(self.scale(resource, decode_json(data)))


def _selects(selector: Json | None, labels: Json) -> bool:
    """A budget without a selector is about no pod, one with an empty selector about all."""
    return selector is not None and selects(selector, labels)


def _condition(status: Json, kind: str) -> Json:
    return next((c for c in status.get("conditions") or () if c.get("type") == kind), {})


def _may_go_unhealthy(budget: Json, pod: Json) -> bool:
    """A pod that is not ready is no loss: always, or while the healthy ones suffice, as the budget says."""
    if _condition(pod.get("status") or {}, "Ready").get("status") == "True":
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    needed = status.get("desiredHealthy", 0)
    return bool(needed > 0 and status.get("currentHealthy", 0) >= needed)


def _sync_failure(name: str, status: Json) -> str:
    condition = _condition(status, "DisruptionAllowed")
    if condition.get("reason") != "SyncFailed":
        return ""
    return (
        f"The disruption budget {name} does not allow evicting pods currently because it failed sync: "
        f"{condition.get('message', '')}"
    )


def _binding_refusal(name: str, pod: Json, node: str, metadata: Json) -> StatusError | None:
    uid = metadata.get("uid")
    if uid and uid != pod["metadata"].get("uid"):
        return conflict(
            "pods/binding",
            name,
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
            f"{pod['metadata'].get('uid')}",
        )
    if pod["metadata"].get("deletionTimestamp"):
        return conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    current = pod["spec"].get("nodeName")
    if current:
        return conflict("pods/binding", name, f'pod {name} is already assigned to node "{current}"')
    return None


def _scheduled(conditions: list[Json], now: str) -> list[Json]:
    kept = [condition for condition in conditions if condition.get("type") != "PodScheduled"]
    condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    return [*kept, condition]


def _has_owner(obj: Json, path: str) -> bool:
    """Whether some manager owns a field. Kubernetes starts no ownership through the scale subresource."""
    names = [f"f:{name}" for name in path.strip(".").split(".")]
    for entry in obj["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1")
        for name in names:
            fields = fields.get(name) if isinstance(fields, dict) else None
        if fields is not None:
            return True
    return False


def _at(obj: Any, path: str) -> Any:
    for name in path.strip(".").split("."):
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def _put(obj: Json, path: str, value: Any) -> None:
    *parents, last = path.strip(".").split(".")
    for name in parents:
        below = obj.get(name)
        if not isinstance(below, dict):
            below = obj[name] = {}
        obj = below
    obj[last] = value
