"""What ``run.json`` says of a run beside its settings: data, versions, commit, machine."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dcdan.data.pack import Pack
from dcdan.training.domains import Source

PACKAGES = ("dcdan", "torch", "torchvision", "timm", "numpy", "onnxruntime", "pillow", "opencv-python-headless")


def described(pack: Pack, source: Source | None) -> dict[str, Any]:
    """Return what run.json says of a domain."""
    facts: dict[str, Any] = {
        "spec": pack.info.spec,
        "faces": len(pack),
        "splits": dict(pack.info.counts.splits),
        "licence": pack.info.licence,
        "sha256": pack.info.sha256,
        "split_rule": pack.info.split_rule,
        "alignment": pack.info.alignment,
        "shift": None if pack.info.shift is None else pack.info.shift.model_dump(),
    }
    if source is not None:
        facts |= {
            "train": len(source.train),
            "validation": len(source.validation),
            "left_out": source.left_out,
            "per_class": dict(zip(source.classes, source.counts.int().tolist(), strict=True)),
        }
    return facts


def versions() -> dict[str, str]:
    """Return the versions of what the figures depend on; '' where a package was not installed by its own name."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def commit() -> str:
    """Return the commit of the code when it runs from a checkout, else an empty string."""
    here = Path(__file__).parent
    found = subprocess.run(
        ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()
