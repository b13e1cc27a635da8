"""A small mutation tester: change one operator, number or condition at a time, and see whether a test fails.

    python tests/tools/mutate.py src/dcdan/metrics/intervals.py tests/unit/metrics/test_intervals.py

Each mutant runs in a forked process that has the libraries loaded already, so that a mutant takes about a second. Ends
with the score, and a line for each mutant that no test noticed. Lines that hold ``# mutate: off`` are left out.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
}
SECONDS = 90


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    """Yield the mutations of a node: what is done in words, and a function that does it to a copy of the node."""
    if isinstance(node, ast.Compare):
        for place, op in enumerate(node.ops):
            if type(op) in COMPARISONS:
                new = COMPARISONS[type(op)]
                yield f"{type(op).__name__} -> {new.__name__}", lambda n, p=place, o=new: n.ops.__setitem__(p, o())
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        other = OPERATORS[type(node.op)]
        yield f"{type(node.op).__name__} -> {other.__name__}", lambda n, o=other: setattr(n, "op", o())
    elif isinstance(node, ast.BoolOp):
        flipped = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield f"{type(node.op).__name__} -> {flipped.__name__}", lambda n: setattr(n, "op", flipped())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield f"{type(node.op).__name__} removed", lambda n: setattr(n, "op", ast.UAdd())
    elif isinstance(node, ast.Constant) and not isinstance(node.value, str | bytes) and node.value is not None:
        if isinstance(node.value, bool):
            yield f"{node.value} -> {not node.value}", lambda n: setattr(n, "value", not n.value)
        elif isinstance(node.value, int | float):
            yield f"{node.value} -> {node.value + 1}", lambda n: setattr(n, "value", n.value + 1)
            if isinstance(node.value, float) and node.value:
                yield f"{node.value} -> {node.value / 2}", lambda n: setattr(n, "value", n.value / 2)
    elif isinstance(node, ast.If | ast.IfExp):
        for value in (True, False):
            yield f"condition -> {value}", lambda n, v=value: setattr(n, "test", ast.Constant(v))
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
            name = "max" if node.func.id == "min" else "min"
            yield f"{node.func.id} -> {name}", lambda n, name=name: setattr(n.func, "id", name)
        for place, word in enumerate(node.keywords):
            if word.arg:
                yield f"argument {word.arg} left out", lambda n, p=place: n.keywords.pop(p)


def mutable(tree: ast.Module, lines: list[str]) -> list[ast.AST]:
    """Return the nodes that may be changed: no annotations, messages or docstrings."""
    found: list[ast.AST] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.JoinedStr | ast.Raise | ast.Import | ast.ImportFrom):
            return
        if "# mutate: off" in lines[getattr(node, "lineno", 1) - 1]:
            return
        found.append(node)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "bases"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    visit(child)

    visit(tree)
    return found


def mutants(source: str) -> Iterator[tuple[int, str, ast.Module]]:
    """Yield line, description and tree of every mutant of some source code."""
    tree = ast.parse(source)
    for place, node in enumerate(mutable(tree, source.splitlines())):
        for number, (what, _) in enumerate(changes(node)):
            other = copy.deepcopy(tree)
            same = mutable(other, source.splitlines())[place]
            list(changes(same))[number][1](same)
            yield getattr(node, "lineno", 0), what, ast.fix_missing_locations(other)


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed tree."""

    def __init__(self, name: str, file: Path, tree: ast.Module) -> None:
        self.name, self.file, self.tree = name, file, tree

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.file, loader=self)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, str(self.file), "exec"), module.__dict__)  # of our own tree


def survives(name: str, file: Path, tree: ast.Module, tests: list[str]) -> bool:
    """Run the tests on a mutant in a process of its own; return whether they pass."""
    child = os.fork()
    if not child:
        import pytest

        signal.alarm(SECONDS)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.meta_path.insert(0, Mutated(name, file, tree))
        code = 1
        try:
            code = int(
                pytest.main(
                    ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]
                )
            )
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def limit_examples(most: int) -> None:
    """Give every hypothesis test at most so many examples."""
    import hypothesis

    plain = hypothesis.settings.__init__

    def limited(self: hypothesis.settings, *args: object, **values: object) -> None:
        if isinstance(values.get("max_examples"), int):
            values["max_examples"] = min(most, values["max_examples"])  # type: ignore[type-var]
        plain(self, *args, **values)  # type: ignore[arg-type]

    hypothesis.settings.__init__ = limited  # type: ignore[method-assign]


def main() -> int:
    """Run the tester on the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", type=Path, help="file under src/")
    parser.add_argument("tests", nargs="+", help="tests to run on each mutant")
    parser.add_argument("--preload", default="numpy,scipy.stats,sklearn.metrics,hypothesis,pytest")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try each Nth mutant only")
    parser.add_argument("--seconds", type=float, metavar="S", help="try mutants in random order for about this long")
    parser.add_argument("--examples", type=int, default=15, metavar="N", help="most examples of a hypothesis test")
    options = parser.parse_args()
    for name in options.preload.split(","):
        importlib.import_module(name)
    limit_examples(options.examples)
    file = options.module.resolve()
    name = ".".join(file.with_suffix("").parts[file.parts.index("src") + 1 :])
    source = file.read_text("utf-8")
    if not survives(name, file, ast.parse(source), options.tests):
        print("The tests fail without a mutant.", file=sys.stderr)
        return 2
    total, left = 0, []
    ends = math.inf if options.seconds is None else time.monotonic() + options.seconds
    tried = list(mutants(source))[:: options.every]
    if options.seconds is not None:
        random.Random(0).shuffle(tried)
    for line, what, tree in tried:
        if time.monotonic() > ends:
            break
        total += 1
        if survives(name, file, tree, options.tests):
            left.append(f"{options.module}:{line}: {what}: {source.splitlines()[line - 1].strip()}")
            print(left[-1], flush=True)
    share = (total - len(left)) / max(total, 1)
    print(f"{options.module}: {total - len(left)} of {total} killed ({share:.1%}; {len(tried)} chosen)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
