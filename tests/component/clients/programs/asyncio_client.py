"""kubernetes-asyncio: objects, apply, errors, pages, a watch beside writes, the dynamic client."""

import asyncio
import sys

from kubernetes_asyncio import client, config, dynamic, watch

namespace = sys.argv[1]


async def main():
    await config.load_kube_config()
    async with client.ApiClient() as api:
        core = client.CoreV1Api(api)

        def config_map(name, **data):
            return client.V1ConfigMap(
                metadata=client.V1ObjectMeta(name=name, labels={"app": "aio"}), data=data
            )

        started = asyncio.Event()
        seen = []

        async def follow():
            listed = await core.list_namespaced_config_map(namespace, label_selector="app=aio")
            started.set()
            async with watch.Watch() as stream:
                async for event in stream.stream(
                    core.list_namespaced_config_map,
                    namespace,
                    label_selector="app=aio",
                    resource_version=listed.metadata.resource_version,
                    timeout_seconds=30,
                ):
                    seen.append((event["type"], event["object"].metadata.name))
                    if event["type"] == "DELETED":
                        return

        async with asyncio.timeout(45), asyncio.TaskGroup() as group:
            following = group.create_task(follow())
            await started.wait()
            await core.create_namespaced_config_map(namespace, config_map("a", x="1"))
            patched = await core.patch_namespaced_config_map(
                "a", namespace, {"data": {"y": "2"}}, _content_type="application/merge-patch+json"
            )
            assert patched.data == {"x": "1", "y": "2"}
            applied = await core.patch_namespaced_config_map(
                "a",
                namespace,
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"z": "3"}},
                field_manager="aio",
                _content_type="application/apply-patch+yaml",
            )
            assert applied.data == {"x": "1", "y": "2", "z": "3"}
            await asyncio.gather(
                *(core.create_namespaced_config_map(namespace, config_map(f"b{n}")) for n in range(20))
            )
            page = await core.list_namespaced_config_map(namespace, limit=15, label_selector="app=aio")
            rest = await core.list_namespaced_config_map(
                namespace, limit=15, _continue=page.metadata._continue, label_selector="app=aio"
            )
            assert len(page.items) + len(rest.items) == 21
            assert rest.metadata._continue is None
            try:
                await core.create_namespaced_config_map(namespace, config_map("a"))
            except client.ApiException as error:
                assert (error.status, error.reason) == (409, "Conflict"), error
            else:
                raise AssertionError("made twice")
            await core.delete_namespaced_config_map("a", namespace)
            await following
        assert seen[:3] == [("ADDED", "a"), ("MODIFIED", "a"), ("MODIFIED", "a")], seen
        assert sorted(name for kind, name in seen[3:-1]) == sorted(f"b{n}" for n in range(20)), seen
        assert seen[-1] == ("DELETED", "a")
        dynamic_client = await dynamic.DynamicClient(api)
        machines = await dynamic_client.resources.get(api_version="kubevirt.io/v1", kind="VirtualMachine")
        assert (await machines.get(namespace=namespace)).items == []
    print("done")


asyncio.run(main())
