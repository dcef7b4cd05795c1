"""Volumes of a pod: what they contain (`content`), how they are made (`prepare`), how a part is mounted."""
