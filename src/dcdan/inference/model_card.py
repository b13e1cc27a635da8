"""``model.json``: what a saved model is, and the check that the files beside it are the ones it was saved with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dcdan.core.atomic_io import sha256
from dcdan.core.errors import ModelError, first_line
from dcdan.core.limits import read_json, within
from dcdan.core.schema import check_schema
from dcdan.expressions import ClassName

MODEL_SCHEMA: Literal[1] = 1
INFO_NAME = "model.json"
GRAPH_NAME = "model.onnx"
INT8_NAME = "model-int8.onnx"
WEIGHTS_NAME = "model.safetensors"

Precision = Literal["fp32", "int8"]
GRAPHS: dict[Precision, str] = {"fp32": GRAPH_NAME, "int8": INT8_NAME}

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class FaceInput(BaseModel):
    """What the network expects of a face: side in pixels, how it was aligned, order of the channels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=16, le=1024)
    align: Literal["mtcnn", "none"] = "mtcnn"
    channels: Literal["rgb"] = "rgb"


class Calibration(BaseModel):
    """What turns a probability into a promise, measured on held-out source faces (see ``calibration`` of a run).

    Attributes:
        unsure_below: an answer whose probability is lower is called unsure, 0..1.
        conformal: share of faces whose true class must be in the set ("0.9") -> the classes with at least this
            probability form the set (split conformal prediction, Sadinle et al., JASA 2019).
        error: expected calibration error after the temperature, 0..1.
        faces: how many faces it was measured on.
        on: the spec of those faces.
        corrected: how the temperature was corrected for the shift to the target without labels; empty when it was not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unsure_below: float = Field(default=0.0, ge=0.0, le=1.0)
    conformal: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] = Field(default_factory=dict)
    error: float | None = Field(default=None, ge=0.0, le=1.0)
    faces: int = Field(default=0, ge=0)
    on: str = ""
    corrected: str = ""


class ModelInfo(BaseModel):
    """The contents of ``model.json``.

    ``classes`` are the expressions in the order of the network's outputs: nothing else may be assumed about that order.
    ``thresholds`` holds one confidence per class, 0..1; ``files`` the SHA-256 of each file that belongs to the model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    # The key in the file is `schema`, a name that pydantic keeps for itself.
    schema_version: Literal[1] = Field(default=MODEL_SCHEMA, alias="schema")
    name: str
    method: str
    architecture: dict[str, Any]
    classes: tuple[ClassName, ...] = Field(min_length=2, max_length=1000)
    face: FaceInput
    thresholds: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...]
    temperature: float = Field(default=1.0, gt=0.0)
    mirror: bool = False
    calibration: Calibration = Calibration()
    training: dict[str, Any] = Field(default_factory=dict)
    licence: str = ""
    files: dict[FileName, str]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is named twice")
        if len(self.thresholds) != len(self.classes):
            raise ValueError(f"{len(self.thresholds)} thresholds for {len(self.classes)} classes")
        return self


def read_model_info(run: Path) -> ModelInfo:
    """Read ``model.json`` of a run folder.

    Raises:
        ModelError: when the folder or the file is missing, of another schema, or damaged.
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
    try:
        return ModelInfo.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ModelError(f"'{path}' is damaged: {place}: {first['msg']}.") from error


def verified(run: Path, info: ModelInfo, name: str = GRAPH_NAME) -> Path:
    """Return the path of one of the model's files after comparing its checksum.

    Raises:
        ModelError: when the file is missing, not listed in ``model.json``, or has changed since it was saved.
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
