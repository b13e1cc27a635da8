"""The format of a pack: the model of `pack.json`, its schema version, and the layout of the other files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from dcdan.core.errors import OutputError, PackError
from dcdan.core.limits import read_json
from dcdan.core.schema import check_schema
from dcdan.corruptions.shifts import Shift
from dcdan.expressions import ClassName
from dcdan.jobs.resumable_job import ResumableJob

PACK_SCHEMA = 1
INFO, FACES, TABLE = "pack.json", "faces.npy", "table.parquet"

# A fixed length, so that the header can be rewritten once the number of faces is known.
HEADER_BYTES = 128

Count = Annotated[int, Field(ge=0, lt=1 << 40)]


class PackCounts(BaseModel):
    """The numbers of rows and faces of a pack. A row without a face has a status that gives the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Count
    faces: Count
    splits: dict[str, Count] = Field(description="faces of each split; '' where the data set has none")
    classes: dict[str, Count] = Field(description="labelled faces of each class; empty when opened without labels")
    statuses: dict[str, Count] = Field(description="rows of each status")


class Shard(BaseModel):
    """The part of a data set in a pack, and what merging needs to know of the whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1, description="which part, counted from 1")
    count: int = Field(ge=1, description="how many parts there are")
    samples: int = Field(description="samples of the whole data set")
    listing: str = Field(description="a hash of all of them, the same in all parts of one state of the data")
    crops_option: bool = Field(description="whether the reader takes faces=crops and was not given it")


class PackInfo(BaseModel):
    """The model of `pack.json`.

    Fields that are None (`shard`, `shift`, `layout`) are not written, so that a pack without them opens in versions
    that do not know these fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: int = Field(alias="schema")
    data_set: str = Field(description="the reader's name")
    title: str
    layout: str | None = Field(None, description="the name of the layout that was read")
    spec: str
    licence: str
    classes: tuple[ClassName, ...]
    size: int = Field(ge=1, le=4096, description="side of the faces in pixels")
    channels: Literal[1, 3] = Field(description="1 grey (N, S, S), 3 RGB (N, S, S, 3)")
    alignment: str
    split_rule: str
    shift: Shift | None = Field(None, description="the known shift of the faces")
    counts: PackCounts
    skipped: dict[str, int] = Field(description="samples left out by the reader, by reason")
    warnings: tuple[str, ...]
    shard: Shard | None = Field(None, description="the part of the data set that this pack is; none for the whole")
    sha256: dict[str, str]

    @model_serializer(mode="wrap")
    def _without_what_is_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the fields that are None."""
        return {name: value for name, value in handler(self).items() if value is not None}

    def shape(self) -> tuple[int, ...]:
        """Return the shape of faces.npy.

        Returns:
            `(N, S, S)` for grey or `(N, S, S, 3)` for RGB faces.
        """
        return (self.counts.faces, self.size, self.size, 3)[: 3 if self.channels == 1 else 4]

    def text(self) -> str:
        """Return the content of `pack.json`.

        Returns:
            JSON.
        """
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def read_info(folder: Path) -> PackInfo:
    """Read the pack.json of a pack.

    Args:
        folder: the pack.

    Returns:
        Its content.

    Raises:
        PackError: the file is missing or damaged, or has another schema.
    """
    path = folder / INFO
    try:
        content = read_json(path)
        schema = content["schema"]
    except FileNotFoundError:
        raise PackError(f"'{folder}' is no pack: it has no {INFO}.") from None
    except (ValueError, TypeError, KeyError, OSError) as error:
        reason = f"{INFO} cannot be read ({error})"
        raise PackError(f"The pack '{folder}' is damaged: {reason}; pack the data again.") from None
    check_schema(PackError, f"The pack '{folder}'", schema, PACK_SCHEMA, "pack the data again")
    try:
        return PackInfo.model_validate(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise PackError(f"The pack '{folder}' is damaged: '{where}' in {INFO} is not right; pack it again.") from None


OTHER_CHECKSUM = f"its SHA-256 is not the one in {INFO}, so it was changed or copied incompletely"


def damaged(folder: Path, name: str, reason: str, remedy: str = "pack the data again") -> PackError:
    """Return the error for a pack with a damaged file.

    Args:
        folder: the pack.
        name: the file.
        reason: what is wrong with the file, as a clause.
        remedy: what the user can do.

    Returns:
        The error, to be raised.
    """
    return PackError(f"The pack '{folder}' is damaged: {name}: {reason}; {remedy}.")


def npy_header(shape: tuple[int, ...]) -> bytes:
    """Return the header of a `.npy` file (format 1.0) of uint8 in C order.

    Args:
        shape: shape of the array.

    Returns:
        128 bytes, for any shape, so that the header can be rewritten in place.

    Example:
        >>> len(npy_header((7, 64, 64)))
        128
    """
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    start = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    return start + text.encode("ascii").ljust(HEADER_BYTES - 11) + b"\n"


def utf8_text(text: str) -> str:
    r"""Return a text that can be written as UTF-8.

    Args:
        text: a text, such as a file name with bytes that are not UTF-8.

    Returns:
        The text, with such bytes as escapes.

    Example:
        >>> print(utf8_text("caf\udce9"))
        caf\udce9
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_output_free(out: Path, force: bool) -> None:
    """Check that an output folder may be written.

    Args:
        out: the folder; a missing or empty one always passes.
        force: whether a pack may be replaced.

    Raises:
        OutputError: the folder exists and may not be replaced.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force:
        raise OutputError(f"'{out}' exists already: choose another --out, or replace it with --force.")
    if not (out / INFO).is_file():
        raise OutputError(f"'{out}' exists and is no pack, so --force does not replace it: choose another --out.")


def publish_pack(job: ResumableJob, info: str, force: bool) -> None:
    """Write pack.json and rename the finished pack to its place in one step.

    Args:
        job: the finished build.
        info: the content of pack.json.
        force: whether an existing pack is replaced.

    Raises:
        OutputError: the folder exists and may not be replaced.
    """
    check_output_free(job.out, force)
    job.publish(INFO, info)
