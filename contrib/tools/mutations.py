# SPDX-License-Identifier: Apache-2.0
"""
Small changes of a module, each in one place, that a test should notice.

Comparisons, conditions, boolean operators, calls whose result nobody uses, numbers, returns. Log
lines, annotations, decorators, flags of classes and assertions are left as they are.
"""

import ast
import itertools
import random
import re
from collections.abc import Mapping
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
LOGS = {"debug", "info", "warning", "error", "exception", "note", "notes"}
"""Names of calls that write into the log, or note something for it."""


class Mutation(NamedTuple):
    """One change of a file."""

    file: str
    line: int
    """Where the change begins, from 1."""
    old: str
    new: str
    text: str
    """The whole file with the change in it."""


class Place(NamedTuple):
    """Where a file can be changed, in characters from its beginning, and to what."""

    start: int
    end: int
    new: str


def places(source: str) -> list[Place]:
    """Return all changes that a file can have; a few are none, or none that can be compiled."""
    return sorted({Place(*each) for each in _Finder(source).changes})


def mutated(file: str, source: str, place: Place) -> Mutation | None:
    """Return a change, unless it is none to the compiler."""
    start, end, new = place
    text = source[:start] + new + source[end:]
    try:
        if ast.dump(ast.parse(text)) == ast.dump(ast.parse(source)):
            return None
    except SyntaxError:
        return None
    return Mutation(file, source.count("\n", 0, start) + 1, source[start:end], new, text)


def draw(sources: Mapping[str, str], count: int, seed: int) -> list[Mutation]:
    """
    Return changes of some files, each with the same chance, at most `count`.

    Args:
        sources: The text of each file, by its name.
        count: How many.
        seed: The same seed draws the same changes of the same files.
    """
    everywhere = [(file, place) for file in sorted(sources) for place in places(sources[file])]
    random.Random(seed).shuffle(everywhere)  # noqa: S311 - to be drawn again, not to be secret
    drawn = (mutated(file, sources[file], place) for file, place in everywhere)
    return list(itertools.islice((each for each in drawn if each is not None), count))


class _Finder(ast.NodeVisitor):
    """Collects changes as the place in the text where they begin, its end, and the new text."""

    def __init__(self, source: str) -> None:
        self.changes: list[tuple[int, int, str]] = []
        self._source = source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        self.visit(ast.parse(source))

    # What is left out

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all(node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_all([*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body])

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_all([node.value] if node.value is not None else [])

    def visit_Assign(self, node: ast.Assign) -> None:
        if not any(isinstance(t, ast.Name) and t.id.startswith("__") for t in node.targets):
            self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Skip what the code knows of itself, or tells a checker of types."""

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not (isinstance(node.value, ast.Name) and node.value.id in {"Annotated", "Literal"}):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if not _logs(node):
            self.generic_visit(node)

    # What is changed

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Call) and not _logs(call):
            self._change(node, "pass")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.unparse(node.test) or "__name__" in ast.unparse(node.test):
            return
        self._condition(node.test, forced=("True", "False"))
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test, forced=("True", "False"))
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._condition(node.test, forced=("False",))
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._condition(test, forced=("True",))
        self.generic_visit(node)

    def visit_match_case(self, node: ast.match_case) -> None:
        if node.guard is not None:
            self._condition(node.guard, forced=("True", "False"))
            self.visit(node.guard)
        self._visit_all(node.body)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            old, new = COMPARISONS[type(operator)]
            self._between(left, right, old, new)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, old, new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._change(node, f"({self._text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._change(node, str(not node.value))
        elif isinstance(node.value, int | float):
            for new in (node.value + 1, node.value - 1):
                self._change(node, f"({new})" if new < 0 else str(new))

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not isinstance(node.value, ast.Constant):
            self._change(node.value, "None")
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Skip what is inside of a text: Python 3.11 does not tell where it stands."""

    def _visit_all(self, nodes: list[ast.AST] | list[ast.stmt]) -> None:
        for node in nodes:
            self.visit(node)

    def _condition(self, test: ast.expr, forced: tuple[str, ...]) -> None:
        self._change(test, f"not ({self._text(test)})")
        for value in forced:
            self._change(test, value)

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        """Change an operator, which may stand among parentheses and comments."""
        start, end = self._span(left)[1], self._span(right)[0]
        words = re.escape(old).replace(r"\ ", r"\s+")
        edge = r"\b" if old.isidentifier() or " " in old else ""
        between = re.sub(r"#.*", lambda m: " " * len(m[0]), self._source[start:end])
        found = re.search(rf"{edge}{words}{edge}", between)
        if found is not None:
            self.changes.append((start + found.start(), start + found.end(), new))

    def _change(self, node: ast.expr | ast.stmt, new: str) -> None:
        self.changes.append((*self._span(node), new))

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._source[start:end]

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Return where a node begins and ends in the text, in characters."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._place(node.lineno, node.col_offset),
            self._place(node.end_lineno, node.end_col_offset),
        )

    def _place(self, line: int, octets: int) -> int:
        before = self._lines[line - 1].encode()[:octets].decode()
        return self._starts[line - 1] + len(before)


def _logs(call: ast.Call) -> bool:
    """Return whether a call writes into the log."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in LOGS
