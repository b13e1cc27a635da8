"""Resolver of models: what ``--model`` and ``dcdan.load`` accept, converted to a local folder.

===========================  ==========================================================
nothing                      the default model of the package
``base``, ``small``          a model of the package; no folder can shadow it
``runs/mine``, ``./mine``    a run folder; write ``./`` if it has the name of a model
``runs/mine/model.onnx``     a graph of a run folder
``hf-hub:owner/name``        a model of the Hugging Face hub (``@revision`` may follow)
===========================  ==========================================================
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dcdan.core.errors import MissingExtraError, ModelError, UsageError, first_line, nearest
from dcdan.core.offline import is_offline
from dcdan.inference.model_card import GRAPHS, INFO_NAME, Precision

WEIGHTS = Path(__file__).parent / "weights"
"""Models of the package, a folder each."""

DEFAULT = "default"
"""Name of a text file among the weights that names the default model; not needed where there is but one."""

HUB_PREFIX = "hf-hub:"
_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_HUB_FILES = ("*.json", "*.onnx", "*.safetensors", "*.toml", "README.md")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The location of a model.

    Attributes:
        folder: The folder that contains ``model.json``.
        precision: Precision of the named graph (``.../model-int8.onnx``); None if a folder was named.
    """

    folder: Path
    precision: Precision | None = None


def bundled_models(root: Path | None = None) -> list[str]:
    """Return the names of the models of the package, sorted.

    Args:
        root: Folder to read instead of the weights of the package.

    Returns:
        The names.

    Example:
        >>> bundled_models()
        ['base', 'small']
    """
    folder = WEIGHTS if root is None else root
    return sorted(path.parent.name for path in folder.glob(f"*/{INFO_NAME}"))


def resolve_model(model: str | Path | None = None) -> ResolvedModel:
    """Return the location of a model; a model of the Hugging Face hub is downloaded to the cache first.

    Args:
        model: None, the name of a model of the package, a run folder, an ``.onnx`` file of a run, or
            ``hf-hub:owner/name``. A string that is the name of a model of the package always means that model; an
            existing ``Path`` always means that path.

    Returns:
        The location.

    Raises:
        ModelError: There is no such model.
        UsageError: The name of a hub model is malformed.
        MissingExtraError: A hub model is requested and ``huggingface-hub`` is not installed.

    Example:
        >>> resolve_model("small").folder.name
        'small'
    """
    names = bundled_models()
    if model is None:
        return ResolvedModel(WEIGHTS / _default(names))
    text = str(model)
    if text.startswith(HUB_PREFIX):
        return ResolvedModel(_from_hub(text))
    path = Path(model).expanduser()
    if text in names and not (isinstance(model, Path) and path.exists()):
        return ResolvedModel(WEIGHTS / text)
    if path.suffix == ".onnx" and not path.is_dir():
        return _of_graph(path)
    if path.exists():
        return ResolvedModel(path)
    known = f", one of the package's models ({', '.join(names)})" if names else ""
    raise ModelError(
        f"There is no model at '{model}': give a run folder that `dcdan adapt --out` has written{known} or"
        f" {HUB_PREFIX}owner/name.{nearest(text, names)}"
    )


def model_folder(model: str | Path | None = None) -> Path:
    """Return the folder of a model; :func:`resolve_model` also returns the precision of a named graph."""
    return resolve_model(model).folder


def _default(names: list[str]) -> str:
    if not names:
        raise ModelError(
            "This dcdan comes without a trained model: give the run folder that `dcdan adapt --out` has written"
            " (`--model RUN`, `dcdan.load(RUN)`)."
        )
    if len(names) == 1:
        return names[0]
    chosen = WEIGHTS / DEFAULT
    name = chosen.read_text(encoding="utf-8").strip() if chosen.is_file() else ""
    if name not in names:
        raise ModelError(f"Say which of the package's models to use: {', '.join(names)}.")
    return name


def _of_graph(path: Path) -> ResolvedModel:
    if not path.is_file():
        raise ModelError(f"There is no graph at '{path}': give a run folder or its {' or '.join(GRAPHS.values())}.")
    found = {graph: precision for precision, graph in GRAPHS.items()}.get(path.name)
    if found is None or not (path.parent / INFO_NAME).is_file():
        raise ModelError(
            f"'{path}' is not a graph of a run: give a {' or '.join(GRAPHS.values())} with its {INFO_NAME} beside it."
        )
    return ResolvedModel(path.parent, found)


def _from_hub(text: str) -> Path:
    parsed = _HUB_NAME.fullmatch(text.removeprefix(HUB_PREFIX))
    if parsed is None:
        raise UsageError(f"'{text}' names no model of the hub: write {HUB_PREFIX}owner/name.")
    name, revision = parsed.groups()
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise MissingExtraError(f"'{text}' needs the package 'huggingface-hub': pip install huggingface-hub.") from None
    folder = hub_folder() / f"{name.replace('/', '--')}{'' if revision is None else '@' + revision.replace('/', '--')}"
    if is_offline():
        if (folder / INFO_NAME).is_file():
            return folder
        raise ModelError(f"'{text}' was never downloaded and the network is forbidden: run it once without --offline.")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        # A folder of its own holds files; the hub's cache holds links, which a run folder may not.
        snapshot_download(name, revision=revision, local_dir=folder, allow_patterns=list(_HUB_FILES))
    except Exception as error:  # the client raises errors of several libraries
        raise ModelError(f"'{text}' cannot be downloaded: {first_line(error)}") from error
    if not (folder / INFO_NAME).is_file():
        raise ModelError(f"'{text}' has no {INFO_NAME}: give a model that dcdan has written.")
    return folder


def hub_folder() -> Path:
    """Return the folder of downloaded models: ``$DCDAN_CACHE/models``, otherwise ``~/.cache/dcdan/models``."""
    cache = os.environ.get("DCDAN_CACHE")
    return Path(cache).expanduser() / "models" if cache else Path("~/.cache/dcdan/models").expanduser()
