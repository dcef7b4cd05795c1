"""Images of this node: container disks and container root file systems, fetched or imported once.

`edgevirt.storage.images.store.ImageStore` is the door; `names` knows how image names are written,
`host.HostImage` is the image that is the machine itself.
"""
