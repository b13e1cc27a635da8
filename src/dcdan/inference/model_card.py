"""``model.json``: its type, how it is read and written, and the checks that no file of a model was modified."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dcdan.core.atomic_io import sha256, write_text
from dcdan.core.errors import ModelError, first_line
from dcdan.core.limits import read_json, within
from dcdan.core.schema import check_schema
from dcdan.correction.output import OutputCorrection
from dcdan.expressions import ClassName

MODEL_SCHEMA: Literal[1] = 1
INFO_NAME = "model.json"
GRAPH_NAME = "model.onnx"
INT8_NAME = "model-int8.onnx"
WEIGHTS_NAME = "model.safetensors"
CHECKSUM = "checksum"
"""Key of ``model.json`` that holds the SHA-256 of its other keys; see :func:`content_checksum`."""

LEAST_CORRELATION = 0.3
"""An action that correlates less with its teacher on held-out faces is not shown."""

Precision = Literal["fp32", "int8"]
GRAPHS: dict[Precision, str] = {"fp32": GRAPH_NAME, "int8": INT8_NAME}

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Correlation = Annotated[float, Field(ge=-1.0, le=1.0)]
ActionName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class FaceInput(BaseModel):
    """The face images that the network takes.

    Attributes:
        size: Side in pixels.
        align: How the faces were aligned: ``mtcnn`` with five landmarks, ``none`` not at all.
        channels: Order of the colour channels.
        contrast: Whether the graph stretches the contrast of each face before the network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=16, le=1024)
    align: Literal["mtcnn", "none"] = "mtcnn"
    channels: Literal["rgb"] = "rgb"
    contrast: bool = False


class Calibration(BaseModel):
    """Thresholds measured on held-out source faces.

    Attributes:
        unsure_below: an answer with a lower probability is marked as unsure, 0..1.
        conformal: coverage ("0.9") -> least probability of a class of the conformal set (split conformal prediction,
            Sadinle et al., JASA 2019).
        error: expected calibration error after the temperature, 0..1.
        faces: how many faces it was measured on.
        on: the spec of those faces.
        corrected: how the temperature was corrected for the shift to the target without labels; empty when it was not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unsure_below: Share = 0.0
    conformal: dict[str, Share] = Field(default_factory=dict)
    error: Share | None = None
    faces: int = Field(default=0, ge=0)
    on: str = ""
    corrected: str = ""


class ModelInfo(BaseModel):
    """The contents of ``model.json``.

    Attributes:
        schema_version: 1; the key in the file is ``schema``.
        name: name of the run or of the model in the package.
        method: key of the adaptation method.
        architecture: settings of the network.
        classes: K expressions in the order of the network's outputs; no other order may be assumed.
        face: the faces that the network takes.
        thresholds: one confidence a class, 0..1, for the choice between the heads.
        temperature: divides the logarithms of the chosen probabilities, > 0.
        mirror: whether the graph averages over a face and its mirror image.
        calibration: thresholds measured on held-out faces.
        class_prior: K shares that training put into the outputs; empty when it put none in.
        actions: facial actions in the order of the graph's output ``actions``; empty without that output.
        action_correlations: Pearson correlation of each action with its teacher on held-out faces; empty when it was
            not measured.
        correction: what `dcdan adapt` has learned of the output, applied to the graph's answers; None for nothing.
        training: specs of the source and the target.
        licence: what may be done with the weights.
        files: name -> SHA-256 of each file that belongs to the model.
        checksum: SHA-256 of all of the above as read; empty in files written before it existed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    # The key in the file is `schema`, a name that pydantic keeps for itself.
    schema_version: Literal[1] = Field(default=MODEL_SCHEMA, alias="schema")
    name: str
    method: str
    architecture: dict[str, Any]
    classes: tuple[ClassName, ...] = Field(min_length=2, max_length=1000)
    face: FaceInput
    thresholds: tuple[Share, ...]
    temperature: float = Field(default=1.0, gt=0.0)
    mirror: bool = False
    calibration: Calibration = Calibration()
    class_prior: tuple[Share, ...] = ()
    actions: tuple[ActionName, ...] = Field(default=(), max_length=100)
    action_correlations: tuple[Correlation, ...] = Field(default=(), max_length=100)
    correction: OutputCorrection | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    licence: str = ""
    files: dict[FileName, str]
    checksum: str = ""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is named twice")
        if len(set(self.actions)) != len(self.actions):
            raise ValueError("an action is named twice")
        if self.action_correlations and len(self.action_correlations) != len(self.actions):
            raise ValueError(f"{len(self.action_correlations)} correlations for {len(self.actions)} actions")
        if len(self.thresholds) != len(self.classes):
            raise ValueError(f"{len(self.thresholds)} thresholds for {len(self.classes)} classes")
        if self.class_prior and len(self.class_prior) != len(self.classes):
            raise ValueError(f"{len(self.class_prior)} shares in class_prior for {len(self.classes)} classes")
        if self.correction is not None and self.correction.classes != self.classes:
            raise ValueError("the correction is for other classes")
        return self

    @property
    def shown_actions(self) -> tuple[str, ...]:
        """Facial actions that correlate with their teacher by ``LEAST_CORRELATION`` or more; none when unmeasured."""
        pairs = zip(self.actions, self.action_correlations or (0.0,) * len(self.actions), strict=True)
        return tuple(name for name, correlation in pairs if correlation >= LEAST_CORRELATION)


def content_checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 of the content of a ``model.json`` without its key ``checksum``.

    The hashed text is JSON with sorted keys, no spaces, and escaped non-ASCII characters.

    Args:
        content: The parsed file.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> content_checksum({"b": [1], "a": 0.5}) == content_checksum({"a": 0.5, "b": [1], "checksum": "..."})
        True
    """
    covered = {key: value for key, value in content.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_model_info(folder: Path, info: ModelInfo) -> None:
    """Write ``model.json`` into a run folder, with the checksum of its content.

    Args:
        folder: The run folder.
        info: The content; its ``checksum`` is replaced.

    Raises:
        OutputError: The file cannot be written.
    """
    content = info.model_dump(mode="json", by_alias=True, exclude={CHECKSUM})
    content[CHECKSUM] = content_checksum(content)
    write_text(folder / INFO_NAME, json.dumps(content, indent=1) + "\n")


def read_model_info(run: Path) -> ModelInfo:
    """Read ``model.json`` of a run folder.

    Args:
        run: The run folder.

    Returns:
        The content.

    Raises:
        ModelError: The folder or file is missing, damaged, of another schema, or was modified after it was written.
    """
    path = run / INFO_NAME
    if not run.exists():
        raise ModelError(f"There is no model at '{run}': give the run folder that `dcdan adapt --out` has written.")
    if not path.is_file():
        raise ModelError(
            f"'{run}' has no {INFO_NAME}: give a run folder of a training that has ended (`dcdan adapt --out`)."
        )
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"'{path}' cannot be read ({first_line(error)}): copy the run folder again.") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema is None:
        raise ModelError(f"'{path}' is not a model description of dcdan: it has no 'schema'.")
    check_schema(ModelError, f"'{path}'", schema, MODEL_SCHEMA, "write the model again by the command in its run.json")
    if CHECKSUM in content and content[CHECKSUM] != content_checksum(content):
        raise ModelError(
            f"'{path}' was changed after it was written (its checksum differs): copy the run folder again."
        )
    try:
        return ModelInfo.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ModelError(f"'{path}' is damaged: {place}: {first['msg']}.") from error


def verified(run: Path, info: ModelInfo, name: str = GRAPH_NAME) -> Path:
    """Return the path of one of the model's files after comparing its checksum.

    Args:
        run: The run folder.
        info: The content of its ``model.json``.
        name: Name of the file.

    Returns:
        The path of the file.

    Raises:
        ModelError: The file is missing, not listed in ``model.json``, outside the folder, or was modified.
    """
    path = run / name
    if name == GRAPH_NAME and not path.exists() and name not in info.files and WEIGHTS_NAME in info.files:
        raise ModelError(f"'{run}' has no {name} yet, as no cell of a benchmark has: `dcdan export {run}` makes it.")
    if not path.is_file():
        raise ModelError(f"'{run}' has no {name}: run the last step of the training again, or copy the folder whole.")
    if not within(run, path):
        raise ModelError(f"'{path}' is a link that leads out of the run folder: put the file itself there.")
    expected = info.files.get(name)
    if expected is None:
        raise ModelError(f"{INFO_NAME} in '{run}' does not list {name}, so it cannot be trusted: save the model again.")
    if sha256(path) != expected.lower():
        raise ModelError(f"'{path}' is damaged or was replaced (its checksum differs): copy the run folder again.")
    return path
