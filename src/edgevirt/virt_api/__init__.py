"""virt-api: admission of machines and instances, and the aggregated API `subresources.kubevirt.io`.

`run` serves both over TLS. Decisions are pure functions (`defaults`, `validation`, `lifecycle`);
`admission` and `subresources` connect them to HTTP and to the cluster. `registration` tells an API server.
"""

from edgevirt.virt_api.server import Settings, run

__all__ = ["Settings", "run"]
