"""Information for a bug report: versions, extras, devices, the cache, the models, and a one-second self-test."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from re import match
from typing import Any

from dcdan.core.errors import DcdanError, first_line
from dcdan.core.extras import installed_extras
from dcdan.core.offline import is_offline

SELF_TEST_EXPRESSION = "happiness"


def diagnosis(*, self_test: bool = True) -> dict[str, Any]:
    """Return the state of this installation as JSON values; nothing is sent, and the network is not used.

    Args:
        self_test: Whether to recognise a synthetic face.

    Returns:
        ``dcdan``, ``python``, ``system``, ``cores``, ``omp_num_threads``, ``packages`` (name -> version), ``extras``
        (name -> missing packages), ``devices``, ``offline``, ``cache``, ``models``, ``self_test``, and ``problems``, a
        list of sentences that is empty if nothing is wrong.
    """
    from dcdan.core.onnx_runtime import devices_served
    from dcdan.packs.cache_store import cache_entries, cache_folders, cache_limit

    entries = cache_entries()
    found: dict[str, Any] = {
        "dcdan": version("dcdan"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": _cores(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS", ""),
        "offline": is_offline(),
        "packages": dict(packages()),
        "extras": installed_extras(),
        "devices": devices_served(),
        "cache": {
            "folders": [str(folder) for folder in cache_folders()],
            "entries": len(entries),
            "bytes": sum(entry.bytes for entry in entries),
            "limit": cache_limit(),
        },
        "models": models(),
    }
    if self_test:
        found["self_test"] = check_recognition()
    found["problems"] = problems(found)
    return found


def packages() -> Iterator[tuple[str, str]]:
    """Yield (name, version) of each installed package that dcdan or one of its extras requires."""
    names = {found[0] for line in requires("dcdan") or [] if (found := match(r"[A-Za-z0-9._-]+", line))}
    for name in sorted(names, key=str.lower):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def models() -> list[dict[str, Any]]:
    """Describe the models of the package.

    Returns:
        One dictionary per model: name, whether it is the default, classes, face size, and the SHA-256 of each file. A
            model
        whose files do not match the checksums in its ``model.json`` has an ``error``.

    Example:
        >>> [model["name"] for model in models() if model["default"]]
        ['base']
    """
    from dcdan.core.atomic_io import sha256
    from dcdan.inference.model_card import read_model_info
    from dcdan.inference.resolver import WEIGHTS, bundled_models, resolve_model

    default = resolve_model(None).folder
    found: list[dict[str, Any]] = []
    for name in bundled_models():
        folder = WEIGHTS / name
        entry: dict[str, Any] = {"name": name, "default": folder == default, "error": ""}
        try:
            info = read_model_info(folder)
            entry |= {
                "classes": list(info.classes),
                "face_size": info.face.size,
                "method": info.method,
                "licence": info.licence,
                "precisions": [
                    key for key, graph in (("fp32", "model.onnx"), ("int8", "model-int8.onnx")) if graph in info.files
                ],
                "bytes": sum((folder / file).stat().st_size for file in info.files),
                "files": dict(info.files),
            }
            wrong = [file for file, digest in info.files.items() if sha256(folder / file) != digest]
            if wrong:
                entry["error"] = f"{', '.join(wrong)} differs from the checksum in model.json: install dcdan again"
        except (DcdanError, OSError) as error:
            entry["error"] = str(error)
        found.append(entry)
    return found


def check_recognition() -> dict[str, Any]:
    """Draw a happy face, detect it, and recognise it with the default model.

    Returns:
        ``ok``, ``expression``, ``probability``, ``seconds`` and ``error``.
    """
    import numpy as np

    from dcdan.datasets.synthetic.domains import draw_face
    from dcdan.inference.recogniser import load

    begun = time.perf_counter()
    result: dict[str, Any] = {"ok": False, "expression": None, "probability": None, "error": ""}
    try:
        face = draw_face(np.random.default_rng(1), SELF_TEST_EXPRESSION, "studio", 160)[0]
        picture = np.pad(np.asarray(face), ((64, 64), (64, 64), (0, 0)), mode="edge")
        found = list(load(threads=1, device="cpu").recognise(picture))
        if len(found) != 1:
            result["error"] = f"{len(found)} faces were found in a picture of one face"
        else:
            total = sum(found[0].probabilities.values())
            result |= {"expression": found[0].expression, "probability": round(float(found[0].probability or 0), 4)}
            result["ok"] = abs(total - 1) < 1e-3
            if not result["ok"]:
                result["error"] = f"the probabilities sum to {total:.4f}"
    except Exception as error:  # a broken library can raise anything, and that is what the report is for
        result["error"] = f"{type(error).__name__}: {first_line(error)}"
    result["seconds"] = round(time.perf_counter() - begun, 2)
    return result


def problems(found: dict[str, Any]) -> list[str]:
    """Return the problems of an installation, one sentence each.

    Args:
        found: The result of :func:`diagnosis`.

    Returns:
        The sentences.

    Example:
        >>> problems({"models": [{"name": "a", "error": "x"}], "self_test": {"ok": True}})
        ['The model a is damaged: x.']
    """
    sentences = [
        f"The model {model['name']} is damaged: {model['error'].rstrip('.')}."
        for model in found["models"]
        if model["error"]
    ]
    if not found.get("self_test", {"ok": True})["ok"]:
        sentences.append(f"The self-test failed: {found['self_test']['error']}.")
    return sentences


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
