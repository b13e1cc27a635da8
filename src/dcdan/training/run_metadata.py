"""The contents of ``run.json`` (data, versions, commit, machine) and of ``model.json``."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dcdan.core.atomic_io import sha256
from dcdan.inference.model_card import GRAPH_NAME, WEIGHTS_NAME, FaceInput, ModelInfo
from dcdan.packs.pack import Pack
from dcdan.training.calibration import Calibrated
from dcdan.training.data import Source, merged, named_sources
from dcdan.training.settings import RunSettings

PACKAGES = ("dcdan", "torch", "torchvision", "timm", "numpy", "onnxruntime", "pillow", "opencv-python-headless")


def run_metadata(pack: Pack, source: Source | None) -> dict[str, Any]:
    """Return the entry of one domain in ``run.json``.

    Args:
        pack: its pack.
        source: the source domain; None for the target.

    Returns:
        JSON values.
    """
    metadata: dict[str, Any] = {
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
        metadata |= {
            "train": len(source.train),
            "validation": len(source.validation),
            "held_out_by": source.held_out_by,
            "left_out": source.left_out,
            "dropped": source.dropped,
            "per_class": dict(zip(source.classes, source.counts.int().tolist(), strict=True)),
        }
    return metadata


def source_metadata(packs: Sequence[Pack], sources: Sequence[Source]) -> dict[str, Any]:
    """Return the entry of the source in ``run.json``; of several sets, their sums and an entry for each set.

    Args:
        packs: the packs.
        sources: their source domains.

    Returns:
        JSON values.
    """
    each = [run_metadata(pack, source) for pack, source in zip(packs, sources, strict=True)]
    if len(each) == 1:
        return each[0]
    whole = merged(sources)
    sums = {key: sum(entry[key] for entry in each) for key in ("faces", "train", "validation", "left_out")}
    joined = {
        key: ", ".join(dict.fromkeys(str(entry[key]) for entry in each)) for key in ("spec", "licence", "alignment")
    }
    per_class = dict(zip(whole.classes, whole.counts.int().tolist(), strict=True))
    return {
        **joined,
        **sums,
        "dropped": whole.dropped,
        "per_class": per_class,
        "held_out_by": whole.held_out_by,
        "sets": each,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that determine the numbers.

    Returns:
        Version by name; "" where a package is not installed under that name.
    """
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def commit() -> str:
    """Return the git commit of the code.

    Returns:
        The output of ``git describe``, or "" outside a checkout.
    """
    here = Path(__file__).parent
    found = subprocess.run(
        ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()


FILES = (WEIGHTS_NAME, GRAPH_NAME)
"""What belongs to a model; the second may be left out."""


def model_description(
    folder: Path,
    settings: RunSettings,
    classes: tuple[str, ...],
    thresholds: list[float],
    metadata: dict[str, Any],
    calibration: Calibrated,
) -> ModelInfo:
    """Return the contents of ``model.json`` for the model in a folder.

    Args:
        folder: the run folder, with the weights already written.
        settings: the settings of the run.
        classes: class names.
        thresholds: thresholds of the choice between the heads, one per class.
        metadata: the contents of ``run.json``.
        calibration: the calibration.

    Returns:
        The description, with checksums of the files.
    """
    checksums = {name: sha256(folder / name) for name in FILES if (folder / name).is_file()}
    sets = [*metadata["source"].get("sets", [metadata["source"]]), metadata["target"]]
    alignments = {entry["alignment"] for entry in sets}
    return ModelInfo(
        name=folder.resolve().name,
        method=settings.method,
        architecture=settings.network.model_dump(mode="json", exclude={"init"}),
        classes=classes,
        face=FaceInput(
            size=settings.size,
            align="none" if alignments == {"none"} else "mtcnn",
            contrast=settings.network.contrast,
        ),
        thresholds=tuple(round(value, 6) for value in thresholds),
        temperature=calibration.temperature,
        mirror=settings.mirror,
        calibration=calibration.for_model(metadata["source"]["spec"]),
        training={**named_sources([entry["spec"] for entry in sets[:-1]]), "target": metadata["target"]["spec"]},
        licence=f"weights: of the training data ({metadata['source']['licence']})",
        files=checksums,
    )
