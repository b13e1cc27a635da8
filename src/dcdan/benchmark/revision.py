"""What the figures of a benchmark depend on besides its plan: code, start weights of the trunks, data."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dcdan.core import atomic_io
from dcdan.core.errors import DcdanError
from dcdan.core.limits import read_json
from dcdan.training.pretrained import WORDS, folder_of
from dcdan.training.settings import RunSettings

ROOMS = ("evaluation", "methods", "metrics", "models", "training")
"""Sub-packages whose code decides the figures of a cell. Data sets and corruptions count by the checksums of packs."""
_WEIGHTS, _INFO = "model.safetensors", "model.json"


@dataclass(frozen=True)
class PlanContext:
    """Data and code with which the cells of a plan are trained.

    Attributes:
        classes: spec -> class names of its data. A spec without an entry counts as having all classes.
        checksums: spec -> SHA-256 of its faces.
        code: :func:`code_revision`; empty when the revision does not matter.
        missing: spec of data that are not there -> the reason. Its cells are left out.
    """

    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)


@cache
def code_revision(package: Path = Path(__file__).parents[1]) -> str:
    """Return ten hexadecimal digits that change with the code of :data:`ROOMS`, but not with comments or docstrings.

    Args:
        package: the folder of the package.

    Returns:
        The checksum; the version of dcdan where the source files are not there.
    """
    files = sorted(file for room in ROOMS for file in (package / room).rglob("*.py"))
    if not files:
        return version("dcdan")
    digest = sha256()
    for file in files:
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + code_of(file.read_text("utf-8")).encode())
    return digest.hexdigest()[:10]


def code_of(source: str) -> str:
    """Return source code without comments, docstrings and layout.

    Args:
        source: source code of a Python module.

    Example:
        >>> code_of("def f(x):\\n    'Double.'\\n    return 2*x  # by two\\n")
        'def f(x):\\n    return 2 * x'
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # Strings as statements are docstrings, of attributes too.
            kept = [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def start_weights(settings: RunSettings) -> dict[str, str]:
    """Return the checksums of the files that the trunk of a run starts from.

    Args:
        settings: of the run.

    Returns:
        Setting -> SHA-256; empty where the setting names no file of this machine, such as ``auto`` or ``no``.
    """
    found = {}
    init: Any = getattr(settings.network, "init", "")
    if init and Path(init).is_file():
        found["init"] = atomic_io.sha256(Path(init))
    if settings.pretrained not in WORDS:
        try:
            folder = folder_of(settings.pretrained)
            found["pretrained"] = str(read_json(folder / _INFO)["files"][_WEIGHTS])
        except (DcdanError, OSError, ValueError, KeyError, TypeError):
            pass  # weights of a registry, whose name holds their version
    return found
