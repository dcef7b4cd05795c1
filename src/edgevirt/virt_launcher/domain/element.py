"""A minimal XML tree: enough to write a libvirt domain, nothing to read one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;"}


def escape(text: str) -> str:
    """`text` as it may stand in an attribute or an element.

    Raises `ValueError` for characters XML cannot carry at all (most control characters).
    """
    for character in text:
        if character < " " and character not in "\t\n\r":
            raise ValueError(f"character {character!r} cannot be written in XML")
    return "".join(_ESCAPES.get(character, character) for character in text)


@dataclass(frozen=True, slots=True)
class Element:
    """One element: attributes in the given order, then children or text."""

    tag: str
    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple[Element, ...] = ()
    text: str = ""

    def __str__(self) -> str:
        return "\n".join(self._lines("")) + "\n"

    def _lines(self, indent: str) -> Iterator[str]:
        attributes = "".join(f" {name}='{escape(value)}'" for name, value in self.attributes)
        if self.children:
            yield f"{indent}<{self.tag}{attributes}>"
            for child in self.children:
                yield from child._lines(indent + "  ")
            yield f"{indent}</{self.tag}>"
        elif self.text:
            yield f"{indent}<{self.tag}{attributes}>{escape(self.text)}</{self.tag}>"
        else:
            yield f"{indent}<{self.tag}{attributes}/>"


def el(tag: str, *children: Element | None, text: str = "", **attributes: str | int | bool | None) -> Element:
    """An element; children and attributes that are None are left out, a bool is written "yes" or "no"."""
    return _element(tag, attributes, tuple(child for child in children if child is not None), text)


def switch(tag: str, state: bool | None, **attributes: str | int | bool | None) -> Element | None:
    """`<tag state='on'/>` or `'off'`; nothing if the state is left to the default."""
    return None if state is None else _element(tag, {"state": "on" if state else "off", **attributes})


def _element(
    tag: str,
    attributes: Mapping[str, str | int | bool | None],
    children: tuple[Element, ...] = (),
    text: str = "",
) -> Element:
    written = tuple((name, _plain(value)) for name, value in attributes.items() if value is not None)
    return Element(tag, written, children, text)


def _plain(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
