"""Calls of the Linux kernel that the standard library of Python 3.11 lacks.

Each module wraps one facility, raises OSError with the kernel's number, and decides nothing: what a refused
path or a changed file means is for the caller to say. Small enough for the process that is paid per VM.
"""
