"""Measurements of a running edgevirt: one line per metric, `name value unit`. See docs/performance.md."""
