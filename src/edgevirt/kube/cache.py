"""Objects by key, with named indexes kept up to date on every change.

Pure data: no input/output, no waiting. What it returns is shared with everybody who asks and must not be
changed; typed objects are immutable anyway, dicts are read-only by convention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from edgevirt.kube.objects import Key, key_of

T = TypeVar("T")

IndexFunction = Callable[[T], Iterable[str]]


class Cache(Generic[T]):
    def __init__(self) -> None:
        self._objects: dict[Key, T] = {}
        self._functions: dict[str, IndexFunction[T]] = {}
        self._indexes: dict[str, dict[str, dict[Key, T]]] = {}

    def add_index(self, name: str, values: IndexFunction[T]) -> None:
        """Index objects under every value `values(obj)` yields. Raises ValueError if the name is taken."""
        if name in self._functions:
            raise ValueError(f"there is an index named {name!r} already")
        self._functions[name] = values
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._index(name, key, obj)

    def get(self, key: Key) -> T | None:
        return self._objects.get(key)

    def items(self) -> tuple[T, ...]:
        return tuple(self._objects.values())

    def by_index(self, name: str, value: str) -> tuple[T, ...]:
        """Objects with this value. Raises KeyError for an index that was never added."""
        return tuple(self._indexes[name].get(value, {}).values())

    def put(self, obj: T) -> T | None:
        """Insert or replace; returns what was there."""
        key = key_of(obj)
        old = self.remove(key)
        self._objects[key] = obj
        for name in self._functions:
            self._index(name, key, obj)
        return old

    def remove(self, key: Key) -> T | None:
        """Remove and return what was there."""
        old = self._objects.pop(key, None)
        if old is not None:
            for name, values in self._functions.items():
                index = self._indexes[name]
                for value in values(old):
                    bucket = index.get(value)
                    if bucket is not None:
                        bucket.pop(key, None)
                        if not bucket:
                            del index[value]
        return old

    def _index(self, name: str, key: Key, obj: T) -> None:
        for value in self._functions[name](obj):
            self._indexes[name].setdefault(value, {})[key] = obj
