"""Putting engine and components together: on one box (`standalone`) and, as manifests, on a real cluster."""
