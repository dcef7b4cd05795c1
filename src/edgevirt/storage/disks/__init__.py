"""Disk images as the launcher handles them: find, examine, lay an overlay over, create.

Everything happens in the calling process, in well under a millisecond, without `qemu-img`: the launcher is
paid once per VM, and a qcow2 file without data is a header and three tables. What a file claims to be is
read from its own header and passed on explicitly, so QEMU never guesses a format.
"""
