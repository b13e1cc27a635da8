"""The rooms of the package: imports run downwards only, without circles, and the light rooms never import torch.

Every import is read from the source, also those inside functions; only ``if TYPE_CHECKING`` blocks are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dcdan

ROOT = Path(dcdan.__file__).parent

LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("app",),
    ("api",),
    ("paper",),
    ("benchmark",),
    ("reports",),
    ("export",),
    ("evaluation",),
    ("explanation",),
    ("training",),
    ("adaptation",),
    ("domain_shift", "annotation"),
    ("inference",),
    ("methods",),
    ("models",),
    ("audit",),
    ("packs",),
    ("datasets",),
    ("corruptions",),
    ("faces",),
    ("images",),
    ("jobs",),
    ("plots",),
    ("metrics", "correction"),
    ("expressions", "facial_actions"),
    ("core",),
)
"""From the top down. A room imports from rooms below it, never from one above or beside it.

``inference`` is below ``training`` so that a model card and the models of the package have one home, which needs no
torch. ``metrics`` and ``plots`` are low: arrays in, numbers or PNG bytes out.
"""

WITHOUT_TORCH = (
    *("core", "expressions", "facial_actions", "metrics", "plots", "jobs", "images", "faces"),
    *("corruptions", "datasets", "packs", "audit", "inference", "adaptation", "correction", "app", "cli"),
    *("domain_shift", "annotation"),
)
"""Rooms in which no module imports torch; the command line reaches it only through the rooms that train."""

TORCH = {"torch", "torchvision", "timm"}
VERSION_ONLY = {"dcdan"}
"""The package itself may be imported for its version: it imports nothing before it is asked for a name."""


def module_name(path: Path) -> str:
    parts = ("dcdan", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield every import statement below a node, except those for types only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif for_types_only(child):
            assert isinstance(child, ast.If)
            yield from statements(ast.Module(child.orelse, []))
        else:
            yield from statements(child)


def imported(module: str) -> set[str]:
    """Return the names of all modules that a module imports; of this package, the very modules."""
    found: set[str] = set()
    for statement in statements(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            found.update(alias.name for alias in statement.names)
            continue
        assert statement.level == 0, f"{module} has a relative import"
        assert statement.module is not None
        for alias in statement.names:
            whole = f"{statement.module}.{alias.name}"
            found.add(whole if whole in SOURCES else statement.module)
    return found


IMPORTS = {module: imported(module) for module in SOURCES}
INSIDE = {module: {name for name in names if name in SOURCES} - {module} for module, names in IMPORTS.items()}


def room(module: str) -> str:
    return module.split(".")[1]


def is_entry(module: str) -> bool:
    """Whether a module is the package itself or ``python -m dcdan``, which stand above all rooms."""
    return module in ("dcdan", "dcdan.__main__")


def test_every_room_has_a_layer() -> None:
    rooms = {room(module) for module in SOURCES if not is_entry(module)}
    assert rooms == {name for layer in LAYERS for name in layer}


@pytest.mark.parametrize("name", [name for layer in LAYERS for name in layer])
def test_imports_run_downwards(name: str) -> None:
    depth = {each: number for number, layer in enumerate(LAYERS) for each in layer}
    upward = [
        f"{module} -> {other}"
        for module, others in INSIDE.items()
        if not is_entry(module) and room(module) == name
        for other in sorted(others - VERSION_ONLY)
        if room(other) != name and depth[room(other)] <= depth[name]
    ]
    assert upward == []


def test_there_is_no_circle() -> None:
    try:
        TopologicalSorter({m: others for m, others in INSIDE.items() if m != "dcdan"}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_light_rooms_do_not_import_torch(name: str) -> None:
    heavy = {
        module: sorted({each.partition(".")[0] for each in names} & TORCH)
        for module, names in IMPORTS.items()
        if not is_entry(module) and room(module) == name
    }
    assert {module: names for module, names in heavy.items() if names} == {}
