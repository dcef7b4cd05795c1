"""What is particular about the larger built-in kinds when they are written, one module per kind.

`strategies` has the base classes and the kinds that need only a few lines.
"""
