"""virt-api: admission of machines and instances, and the aggregated API `subresources.kubevirt.io`.

`server.run` serves both over TLS. Decisions are pure functions (`defaults`, `validation`, `lifecycle`);
`admission` and `subresources` connect them to HTTP and to the cluster.
"""
