"""Every dependency has a lower bound and no upper one, and comes by its name; each import of an extra is known."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from dcdan.core.extras import EXTRAS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BOUNDED = re.compile(r"([a-z][a-z0-9-]*)>=([0-9.]+)")
IMPORT_NAMES = {"scikit-learn": "sklearn"}


def required() -> list[str]:
    project = PROJECT["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [*project["dependencies"], *extras, *PROJECT["build-system"]["requires"]]


def pinned(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 and re.fullmatch(r"[A-Za-z0-9._-]+", pair[0]) for pair in pairs), name
    return {re.sub(r"[-_.]+", "-", key).lower(): version for key, version in pairs}


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def test_every_dependency_is_bounded_and_comes_by_its_name() -> None:
    wrong = [line for line in required() if not BOUNDED.fullmatch(line)]
    assert not wrong
    assert "tool" in PROJECT
    assert "direct-references" not in str(PROJECT["tool"].get("hatch", {}).get("metadata", {}))


def test_the_exact_versions_are_within_the_bounds() -> None:
    exact = pinned("constraints.txt")
    for line in required():
        name, lowest = BOUNDED.fullmatch(line).groups()  # type: ignore[union-attr]
        if name in exact:
            assert numbers(lowest) <= numbers(exact[name]), line


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    oldest = pinned("constraints-oldest.txt")
    bounds = [BOUNDED.fullmatch(line).groups() for line in PROJECT["project"]["dependencies"]]  # type: ignore[union-attr]
    assert {name for name, *_ in bounds} <= oldest.keys()
    for line in required():
        name, lowest = BOUNDED.fullmatch(line).groups()  # type: ignore[union-attr]
        if name in oldest:
            assert numbers(oldest[name])[: len(numbers(lowest))] == numbers(lowest), line


def test_the_extras_of_the_messages_are_those_of_the_project() -> None:
    """U1, U2. A missing package is named with the extra that brings it, so the two lists must be one."""
    optional = PROJECT["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(optional) - {"dev", "gui"}
    for extra, modules in EXTRAS.items():
        names = [BOUNDED.fullmatch(line)[1] for line in optional[extra]]  # type: ignore[index]
        assert sorted(IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names) == sorted(modules), extra


def test_every_python_from_the_lowest_on_is_allowed() -> None:
    """An upper bound of Python or of a package needs a known break."""
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert "Programming Language :: Python :: 3.14" in PROJECT["project"]["classifiers"]
