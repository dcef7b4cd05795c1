"""A kopf operator: creation with an event, update of a field, a timer, deletion held by a finalizer."""

import kopf

GROUP = "operators.example.com"


@kopf.on.startup()
def settings(settings, **_):
    settings.posting.level = 20
    settings.persistence.finalizer = f"{GROUP}/kept"


@kopf.on.create(GROUP, "v1", "kettles")
def created(spec, name, namespace, body, **_):
    kopf.info(body, reason="Filled", message=f"{spec['litres']} litres")
    return {"litres": spec["litres"]}


@kopf.on.update(GROUP, "v1", "kettles", field="spec.litres")
def refilled(old, new, patch, **_):
    patch.status["refilled"] = f"{old} to {new}"


@kopf.timer(GROUP, "v1", "kettles", interval=0.5)
def heating(status, patch, **_):
    degrees = status.get("degrees", 20)
    if degrees < 100:
        patch.status["degrees"] = min(100, degrees + 40)


@kopf.on.delete(GROUP, "v1", "kettles")
async def emptied(name, namespace, memo, **_):
    import kubernetes_asyncio.client as client
    import kubernetes_asyncio.config as config

    await config.load_kube_config()
    async with client.ApiClient() as api:
        note = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=f"{name}-emptied"))
        await client.CoreV1Api(api).create_namespaced_config_map(namespace, note)
