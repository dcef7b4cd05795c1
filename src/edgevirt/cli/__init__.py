"""The `edgevirt` command: the box (up, down, status), machines (start, stop, restart, console) and images."""
