"""From text to tree: a recursive descent over CEL's grammar, macros recognised on the way.

Nesting is limited, so that neither the parser nor what walks the tree later can run out of stack. Complaints
are worded as cel-go's parser words them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from edgevirt.engine.cel.errors import CompileError, Issue
from edgevirt.engine.cel.lexer import RESERVED, Token, tokens
from edgevirt.engine.cel.syntax import (
    Bind,
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    OptionalMap,
    Select,
    Struct,
)
from edgevirt.engine.cel.values import Uint

MAX_NESTING, MAX_DEPTH = 40, 150
"""How deep parentheses and arguments nest, and how deep the tree may get: both walk on Python's stack."""
MAX_LENGTH = 100_000
_PRIMARY = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, "
    "IDENTIFIER}"
)
_RELATIONS = frozenset({"<", "<=", ">", ">=", "==", "!=", "in"})
_SUMS, _PRODUCTS = frozenset({"+", "-"}), frozenset({"*", "/", "%"})
_COMPREHENSIONS: dict[str, tuple[tuple[int, int], ...]] = {
    # name -> (variables, further arguments) it may have
    "all": ((1, 1), (2, 1)),
    "exists": ((1, 1), (2, 1)),
    "exists_one": ((1, 1), (2, 1)),
    "existsOne": ((1, 1), (2, 1)),
    "filter": ((1, 1),),
    "map": ((1, 1), (1, 2)),
    "transformList": ((2, 1), (2, 2)),
    "transformMap": ((2, 1), (2, 2)),
    "transformMapEntry": ((2, 1), (2, 2)),
}


class _Stop(Exception):
    """A syntax error: what follows cannot be made sense of."""


def parse(source: str) -> Node:
    """The tree of an expression. Raises CompileError."""
    if len(source) > MAX_LENGTH:
        text = f"expression code point size exceeds limit: size: {len(source)}, limit {MAX_LENGTH}"
        raise CompileError("", [Issue(0, text)])
    return _Parser(source).parse()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._issues: list[Issue] = []
        self._tokens = tokens(source, self._issues)
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        node: Node = Literal(0, None)
        try:
            node = self._expression()
            if self._next.kind != "end":
                self._unexpected("<EOF>", extraneous=self._tokens[self._at + 1].kind == "end")
            if depth(node) > MAX_DEPTH:
                self._issues.append(Issue(0, f"expression recursion limit exceeded: {MAX_DEPTH}"))
        except _Stop:
            pass
        if self._issues:
            raise CompileError(self._source, self._issues)
        return node

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _accept(self, kind: str) -> Token | None:
        return self._take() if self._next.kind == kind else None

    def _expect(self, kind: str) -> Token:
        token = self._accept(kind)
        if token is None:
            if self._next.kind == "end":
                self._fail(f"Syntax error: missing '{kind}' at '<EOF>'")
            self._unexpected(f"'{kind}'")
        return token

    def _unexpected(self, expected: str, extraneous: bool = False) -> NoReturn:
        word = "extraneous" if extraneous else "mismatched"
        self._fail(f"Syntax error: {word} input '{self._next.text}' expecting {expected}")

    def _fail(self, message: str, offset: int | None = None) -> NoReturn:
        self._issues.append(Issue(self._next.offset if offset is None else offset, message))
        raise _Stop

    # Operators, from the loosest to the tightest ------------------------------------------------------

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            self._fail(f"expression recursion limit exceeded: {MAX_NESTING}")
        node = self._either()
        question = self._accept("?")
        if question is not None:
            yes = self._either()
            self._expect(":")
            no = self._expression()
            node = Call(question.offset, "_?_:_", None, [node, yes, no])
        self._depth -= 1
        return node

    def _either(self) -> Node:
        return self._balanced("||", "_||_", self._both)

    def _both(self) -> Node:
        return self._balanced("&&", "_&&_", self._relation)

    def _balanced(self, operator: str, function: str, below: Callable[[], Node]) -> Node:
        """Long chains become balanced trees, which keeps them shallow."""
        terms, offsets = [below()], []
        while (token := self._accept(operator)) is not None:
            offsets.append(token.offset)
            terms.append(below())

        def tree(low: int, high: int) -> Node:
            if low == high:
                return terms[low]
            middle = (low + high) // 2
            return Call(offsets[middle], function, None, [tree(low, middle), tree(middle + 1, high)])

        return tree(0, len(terms) - 1)

    def _relation(self) -> Node:
        node = self._sum()
        while self._next.kind in _RELATIONS:
            token = self._take()
            function = "@in" if token.kind == "in" else f"_{token.kind}_"
            node = Call(token.offset, function, None, [node, self._sum()])
        return node

    def _sum(self) -> Node:
        node = self._product()
        while self._next.kind in _SUMS:
            token = self._take()
            node = Call(token.offset, f"_{token.kind}_", None, [node, self._product()])
        return node

    def _product(self) -> Node:
        node = self._unary()
        while self._next.kind in _PRODUCTS:
            token = self._take()
            node = Call(token.offset, f"_{token.kind}_", None, [node, self._unary()])
        return node

    def _unary(self) -> Node:
        kind = self._next.kind
        if kind not in ("!", "-"):
            return self._member()
        first = self._take()
        count = 1
        while self._next.kind == kind:
            self._take()
            count += 1
        token = self._next
        if kind == "-" and count % 2 and token.kind == "literal" and type(token.value) in (int, float):
            self._tokens[self._at] = token._replace(value=-token.value, offset=first.offset)
            return self._member()
        node = self._member()
        return Call(first.offset, "!_" if kind == "!" else "-_", None, [node]) if count % 2 else node

    # Members and primaries ----------------------------------------------------------------------------

    def _member(self) -> Node:
        node = self._primary()
        while True:
            if (dot := self._accept(".")) is not None:
                node = self._after_dot(node, dot)
            elif self._next.kind == "{" and (name := dotted(node)):
                node = self._struct(node.offset, name)
            elif (bracket := self._accept("[")) is not None:
                optional = self._accept("?") is not None
                index = self._expression()
                self._expect("]")
                node = Call(bracket.offset, "_[?_]" if optional else "_[_]", None, [node, index])
            else:
                return node

    def _after_dot(self, node: Node, dot: Token) -> Node:
        optional = self._accept("?") is not None
        name = self._accept("ident") or self._accept("in")
        if name is None:
            self._unexpected("IDENTIFIER")
        if not optional and self._next.kind == "(":
            parenthesis = self._take()
            return self._method(node, name, parenthesis, self._arguments(")"))
        return Select(dot.offset, node, name.text, optional=optional)

    def _arguments(self, end: str) -> list[Node]:
        found: list[Node] = []
        if self._accept(end):
            return found
        found.append(self._expression())
        while self._accept(","):
            found.append(self._expression())
        self._expect(end)
        return found

    def _primary(self) -> Node:
        token = self._next
        match token.kind:
            case "literal":
                self._take()
                return self._literal(token)
            case "(":
                self._take()
                node = self._expression()
                self._expect(")")
                return node
            case "[":
                return self._list()
            case "{":
                return self._map()
            case "." | "ident":
                return self._name()
        if token.kind == "end" or self._issues:
            self._unexpected(_PRIMARY)
        return self._unexpected(_PRIMARY, extraneous=self._follows_primary())

    def _follows_primary(self) -> bool:
        following = self._tokens[self._at + 1].kind
        return following in ("literal", "ident", "(", "[", "{", "!", "-")

    def _literal(self, token: Token) -> Node:
        value: Any = token.value
        if type(value) is int and value == 2**63:
            self._issues.append(Issue(token.offset, "invalid int literal"))
        return Literal(token.offset, Uint(value) if isinstance(value, Uint) else value)

    def _name(self) -> Node:
        self._accept(".")
        token = self._accept("ident")
        if token is None:
            self._unexpected("IDENTIFIER")
        if token.text in RESERVED:
            self._issues.append(Issue(token.offset, f"reserved identifier: {token.text}"))
        if self._next.kind == "(":
            parenthesis = self._take()
            return self._function(token, parenthesis, self._arguments(")"))
        return Ident(token.offset, token.text)

    def _list(self) -> Node:
        start = self._take()
        items: list[Node] = []
        optional: set[int] = set()
        while self._next.kind != "]":
            if self._accept("?"):
                optional.add(len(items))
            items.append(self._expression())
            if not self._accept(","):
                break
        self._expect("]")
        return ListLiteral(start.offset, items, frozenset(optional))

    def _struct(self, offset: int, name: str) -> Node:
        self._take()
        entries: list[tuple[str, Node, bool]] = []
        while self._next.kind != "}":
            optional = self._accept("?") is not None
            field = self._accept("ident")
            if field is None:
                self._unexpected("IDENTIFIER")
            self._expect(":")
            entries.append((field.text, self._expression(), optional))
            if not self._accept(","):
                break
        self._expect("}")
        return Struct(offset, name, entries)

    def _map(self) -> Node:
        start = self._take()
        entries: list[tuple[Node, Node, bool]] = []
        while self._next.kind != "}":
            optional = self._accept("?") is not None
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression(), optional))
            if not self._accept(","):
                break
        self._expect("}")
        return MapLiteral(start.offset, entries)

    # Macros -------------------------------------------------------------------------------------------

    def _function(self, name: Token, parenthesis: Token, args: list[Node]) -> Node:
        if name.text == "has" and len(args) == 1:
            operand = args[0]
            if not isinstance(operand, Select) or operand.test or operand.optional:
                self._issues.append(Issue(args[0].offset, "invalid argument to has() macro"))
                return Literal(name.offset, False)
            return Select(parenthesis.offset, operand.operand, operand.name, test=True)
        return Call(parenthesis.offset, name.text, None, args)

    def _method(self, target: Node, name: Token, parenthesis: Token, args: list[Node]) -> Node:
        if name.text == "bind" and isinstance(target, Ident) and target.name == "cel" and len(args) == 3:
            variable = self._variable(args[0], "cel.bind() variable names must be simple identifiers")
            return Bind(parenthesis.offset, variable, args[1], args[2])
        if name.text in ("optMap", "optFlatMap") and len(args) == 2:
            text = f"{name.text}() variable name must be a simple identifier"
            variable = self._variable(args[0], text)
            return OptionalMap(parenthesis.offset, target, variable, args[1], name.text == "optFlatMap")
        for variables, further in _COMPREHENSIONS.get(name.text, ()):
            if len(args) == variables + further:
                names = tuple(
                    self._variable(arg, "argument must be a simple name") for arg in args[:variables]
                )
                if len(set(names)) < len(names):
                    text = "argument is not an identifier" if not names[0] else "duplicate variable name"
                    self._issues.append(Issue(args[1].offset, text))
                kind = "exists_one" if name.text == "existsOne" else name.text
                return Comprehension(parenthesis.offset, kind, target, names, args[variables:])
        return Call(parenthesis.offset, name.text, target, args)

    def _variable(self, node: Node, complaint: str) -> str:
        if isinstance(node, Ident):
            return node.name
        self._issues.append(Issue(node.offset, complaint))
        return ""


def dotted(node: Node) -> str:
    """`a.b.c` as text, or "" if the node is no plain path."""
    parts: list[str] = []
    while isinstance(node, Select) and not node.test and not node.optional:
        parts.append(node.name)
        node = node.operand
    if not isinstance(node, Ident):
        return ""
    return ".".join([node.name, *reversed(parts)])


def children(node: Node) -> list[Node]:
    """The nodes directly below."""
    match node:
        case Select():
            return [node.operand]
        case Call():
            return [node.target, *node.args] if node.target is not None else node.args
        case ListLiteral():
            return node.items
        case MapLiteral():
            return [part for key, value, _ in node.entries for part in (key, value)]
        case Struct():
            return [value for _, value, _ in node.entries]
        case Comprehension():
            return [node.range, *node.args]
        case Bind():
            return [node.value, node.body]
        case OptionalMap():
            return [node.target, node.body]
    return []


def depth(root: Node) -> int:
    """How many nodes stand above the deepest one; without recursion, because it is what limits it."""
    deepest, stack = 0, [(root, 1)]
    while stack:
        node, level = stack.pop()
        deepest = max(deepest, level)
        stack.extend((below, level + 1) for below in children(node))
    return deepest


def walk(root: Node) -> list[Node]:
    """Every node of the tree."""
    found, stack = [], [root]
    while stack:
        node = stack.pop()
        found.append(node)
        stack.extend(children(node))
    return found
