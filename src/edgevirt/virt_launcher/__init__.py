"""virt-launcher: one process per VM. It owns the private libvirt, the domain, its seed disks and its DHCP.

Nothing heavier than asyncio, msgspec and the libvirt binding is imported here, because the cost is paid once
per VM; a test holds the line.
"""
