"""The libvirt domain as typed values, and the pure function that makes one from a VMI.

`build.build_domain` is the door; each device is a small frozen dataclass that knows its XML.
"""
