"""Models that come with the package: a folder each under ``weights/``, found by its name, with no download."""

from __future__ import annotations

from pathlib import Path

from dcdan.core.errors import ModelError, nearest

WEIGHTS = Path(__file__).parent / "weights"

DEFAULT = "default"
"""Name of a text file in the weights folder that names the model to use where none is asked for."""


def bundled_models(root: Path | None = None) -> list[str]:
    """Return the names of the models in the package (or under ``root``), sorted; an empty list when it has none."""
    folder = WEIGHTS if root is None else root
    return sorted(path.parent.name for path in folder.glob("*/model.json"))


def model_folder(model: str | Path | None = None, root: Path | None = None) -> Path:
    """Return the folder of a model.

    Args:
        model: a run folder, or the name of a model in the package; a folder of that name goes first. None is the
            package's default model.
        root: where to look instead of the package's weights.

    Raises:
        ModelError: when the package has no model, or none of that name.
    """
    folder = WEIGHTS if root is None else root
    names = bundled_models(folder)
    if model is None:
        return folder / _default(folder, names)
    given = Path(model)
    if given.exists():
        return given
    if str(model) in names:
        return folder / str(model)
    known = f" or one of the package's models ({', '.join(names)})" if names else ""
    raise ModelError(
        f"There is no model at '{model}': give the run folder that `dcdan adapt --out` has written{known}."
        f"{nearest(str(model), names)}"
    )


def _default(folder: Path, names: list[str]) -> str:
    if not names:
        raise ModelError(
            "This dcdan comes without a trained model: give the run folder that `dcdan adapt --out` has written"
            " (`--model RUN`, `dcdan.load(RUN)`)."
        )
    if len(names) == 1:
        return names[0]
    chosen = folder / DEFAULT
    name = chosen.read_text(encoding="utf-8").strip() if chosen.is_file() else ""
    if name not in names:
        raise ModelError(f"Say which of the package's models to use: {', '.join(names)}.")
    return name
