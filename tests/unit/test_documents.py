"""The documents: paths, links and names in them exist, and what is made from the code is up to date."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

import dcdan
from dcdan.cli.main import COMMANDS
from dcdan.cli.reference import option_entries

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted((ROOT / "docs").glob("*.md"))
WHERE = re.findall(
    r"^\| [^|]+ \| `([^`]+)`(?:: `(\w+)`)? \|$", (ROOT / "docs/architecture.md").read_text("utf-8"), re.M
)


@pytest.mark.parametrize(("path", "name"), WHERE)
def test_where_is(path: str, name: str) -> None:
    """Every row of the table "Where is ..." names a file, and a class, function or constant in it."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    assert not name or name in defined


def test_the_table_answers_what_is_asked_for() -> None:
    assert len(WHERE) >= 25
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    asked = (
        "JAFFE codes",
        "dynamic thresholds",
        "columns of the result table",
        "time stamps of a video",
        "Wilson interval",
    )
    for words in (*asked, "order of the classes", "source stage"):
        assert words in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        name, _, heading = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"{page.name}: {target}"
        if heading and file.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
            assert heading in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}, target


def test_the_readme_is_a_page() -> None:
    """U16. At most 150 lines; it says what may be done with the weights (U15) and installs what exists (U3)."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert "Licence of the weights" in text
    assert not re.search(r"pip install '?dcdan(?![-\w.]*\.whl)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_options_exist(page: Path) -> None:
    """U4, U11. Every long option in a documented `dcdan` command belongs to that command."""
    known: dict[str, set[str]] = {}
    for entry in option_entries():
        known.setdefault(entry.command.partition(" ")[0], {"--help", "-h"}).update(entry.names)
    for line in re.findall(r"^(?:\$ )?dcdan (?:--offline )?(.+)$", page.read_text(encoding="utf-8"), re.M):
        command = line.split()[0]
        if command.startswith(("-", "...")) or command.isupper():
            continue
        assert command in COMMANDS, f"{page.name}: dcdan {line}"
        for option in re.findall(r"(?<=\s)--[a-z][\w-]*", line.partition(" #")[0]):
            assert option in known[command], f"{page.name}: dcdan {line}"


def test_the_picture_of_the_rooms_is_that_of_the_code() -> None:
    """Run `python docs/make_images.py` after rooms or imports have changed."""
    spec = importlib.util.spec_from_file_location("make_images", ROOT / "docs" / "make_images.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs/images/rooms.svg").read_text(encoding="utf-8") == module.rooms_svg()
    drawn = {room for row in module.ROWS for room in row}
    folders = {
        path.name for path in (ROOT / "src/dcdan").iterdir() if path.is_dir() and (path / "__init__.py").exists()
    }
    assert folders <= drawn


def test_the_version_has_one_number() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == dcdan.__version__
