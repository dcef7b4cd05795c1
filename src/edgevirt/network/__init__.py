"""Guest networking: plans that say what a pod's network must look like, and their application.

`dhcp` and `dhcp_message` run inside virt-launcher and therefore import nothing but the standard library
and `edgevirt.api`; everything else runs in virt-handler.
"""
