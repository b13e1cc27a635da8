"""Weight files of other packages: found, verified by checksum, and read without running code.

Every fault of a file is a ValueError with a clause that the caller puts into its own sentence.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import math
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from dcdan.core.errors import first_line
from dcdan.core.limits import parse_json

TARS = (".tgz", ".tar.gz", ".tar")
ZIPS = (".whl", ".zip")
MOST_UNPACKED = 1 << 29
"""Bytes of an archive that are searched: three times those of the largest registered package."""
_MOST_DIMENSIONS = 8
_TYPES = {"float32": "<f4", "int32": "<i4"}
"""The types that a TensorFlow.js manifest may name here; a quantised file has others."""
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class PackedFile:
    """A file of a package: its path in the package (``/`` as separator), its length in bytes and its SHA-256."""

    place: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The file name, the last part of the path."""
        return PurePosixPath(self.place).name


def installed(package: str, place: str) -> Path | None:
    """Find a file of an installed Python package, without importing the package.

    Args:
        package: the name of the distribution.
        place: where the file is in it.

    Returns:
        The file's path; None where the package or this file of it is missing.

    Example:
        >>> installed("no-such-package", "a/b.pth") is None
        True
    """
    try:
        found = Path(str(distribution(package).locate_file(place)))
    except PackageNotFoundError:
        return None
    return found if found.is_file() else None


def read_checked(given: Path, files: Sequence[PackedFile]) -> dict[str, bytes]:
    """Read files of a package and check them.

    Args:
        given: the package as an archive (wheel, zip, tarball), the folder that it was unpacked to, or one of the
            files with the others beside it.
        files: which files to read.

    Returns:
        The content of each file, by its last name.

    Raises:
        ValueError: when a file is missing or another than the one of that checksum, or the archive is damaged.
    """
    try:
        contents = _contents(given, files)
    except _DAMAGE as error:
        raise ValueError(first_line(error)) from error
    for file in files:
        if file.place not in contents:
            raise ValueError(f"it has no {file.place}")
        if hashlib.sha256(contents[file.place]).hexdigest() != file.sha256:
            raise ValueError(f"its {file.name} is another one (the checksum differs)")
    return {file.name: contents[file.place] for file in files}


def _contents(given: Path, files: Sequence[PackedFile]) -> dict[str, bytes]:
    """Return the contents of the files that exist, by path; one byte more for a file that is too long."""
    name = given.name.lower()
    if given.is_dir():
        top = given / "package" if (given / "package" / files[0].place).is_file() else given
        below = [(file, top / file.place) for file in files]
    elif name.endswith(TARS):
        return _from_tar(given, files)
    elif name.endswith(ZIPS):
        with zipfile.ZipFile(given) as archive:
            names = set(archive.namelist())
            return {f.place: _head(archive.open(f.place), f) for f in files if f.place in names}
    else:
        renamed = all(given.name != file.name for file in files)
        below = [(file, given if renamed and file is files[0] else given.with_name(file.name)) for file in files]
    return {file.place: _head(path.open("rb"), file) for file, path in below if path.is_file()}


def _head(opened: IO[bytes], file: PackedFile) -> bytes:
    """Read at most one byte more than the file should have."""
    with opened:
        return opened.read(file.size + 1)


class _Bounded(io.RawIOBase):
    """A stream that ends with an error after MOST_UNPACKED bytes, so that no small archive can unpack for ever."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self.stream = stream
        self.left = MOST_UNPACKED

    def read(self, size: int = -1) -> bytes:
        content = self.stream.read(size if 0 <= size <= self.left else self.left + 1)
        self.left -= len(content)
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {MOST_UNPACKED} bytes")
        return content


def _from_tar(given: Path, files: Sequence[PackedFile]) -> dict[str, bytes]:
    """Read a tarball from its start until all files are found; nothing is written anywhere."""
    # What npm packs lies in a folder `package`.
    wanted = {f"{top}{file.place}": file for file in files for top in ("", "package/")}
    contents: dict[str, bytes] = {}
    packed = not given.name.lower().endswith(".tar")
    with (
        cast(BinaryIO, gzip.open(given) if packed else given.open("rb")) as stream,
        tarfile.open(fileobj=cast(BinaryIO, _Bounded(stream)), mode="r|") as archive,
    ):
        for member in archive:
            file = wanted.get(member.name)
            opened = archive.extractfile(member) if file is not None and member.isreg() else None
            if file is None or opened is None:
                continue
            contents[file.place] = _head(opened, file)
            if len(contents) == len(files):
                break
    return contents


def read_state(content: bytes) -> dict[str, Tensor]:
    """Read a state dict that ``torch.save`` has written, tensors only.

    Args:
        content: the file.

    Returns:
        Its tensors by their names, in the order of the file.

    Raises:
        ValueError: when it holds anything else, such as code, or is damaged.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (*_DAMAGE, pickle.UnpicklingError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"it is no file of tensors alone ({first_line(error)[:80]})") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError("it is no state dict")
    return {str(name): value for name, value in state.items()}


def read_graph(manifest: bytes, buffers: Mapping[str, bytes]) -> dict[str, Tensor]:
    """Read the weights of a TensorFlow.js graph model.

    A group of the manifest names the files of its weights, which are stored without gaps.

    Args:
        manifest: the model's JSON file.
        buffers: the content of its weight files, by name. No other file is ever read, whatever the manifest names.

    Returns:
        Its tensors by their names, in TensorFlow's layout.

    Raises:
        ValueError: when the manifest is damaged or contradicts the buffers.

    Example:
        >>> group = b'{"weightsManifest": [{"paths": ["a.bin"], "weights":'
        >>> read_graph(group + b'[{"name": "w", "shape": [1], "dtype": "int32"}]}]}', {"a.bin": bytes(4)})
        {'w': tensor([0], dtype=torch.int32)}
    """
    tensors: dict[str, Tensor] = {}
    left = dict(buffers)
    try:
        groups = parse_json(manifest.decode("utf-8"))["weightsManifest"]
        for group in _listed(groups):
            content = b"".join(_buffer(path, left) for path in _listed(group["paths"]))
            place = 0
            for weight in _listed(group["weights"]):
                name, shape, kind = weight["name"], _shape(weight["shape"]), weight["dtype"]
                if not isinstance(name, str) or name in tensors:
                    raise ValueError(f"the name {name!r} is no text, or is there twice")
                if not isinstance(kind, str) or kind not in _TYPES or "quantization" in weight:
                    raise ValueError(f"{name} is of a type that is not read here")
                end = place + 4 * math.prod(shape)
                if end > len(content):
                    raise ValueError(f"{name} lies behind the end of the weights")
                values = np.frombuffer(content[place:end], _TYPES[kind]).reshape(shape)
                tensors[name] = torch.from_numpy(values.astype(_TYPES[kind].replace("<", "=")))
                place = end
            if place != len(content):
                raise ValueError(f"{len(content) - place} bytes belong to no weight")
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError("its manifest is not one of TensorFlow.js") from error
    return tensors


def _listed(value: Any) -> list[Any]:
    """Return a value that must be a list."""
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def _buffer(path: Any, left: dict[str, bytes]) -> bytes:
    # Each is given once: a name that is repeated a million times would take a million times the memory.
    """Return the content of a weight file, once."""
    if not isinstance(path, str) or path not in left:
        raise ValueError(f"its manifest names the file {path!r}, which is not one of the model's, or names it again")
    return left.pop(path)


def _shape(value: Any) -> tuple[int, ...]:
    # A bool is an int to Python.
    """Return a value that must be a shape."""
    if len(_listed(value)) > _MOST_DIMENSIONS or not all(type(side) is int and side >= 0 for side in value):
        raise ValueError(f"{str(value)[:80]} is no shape")
    return tuple(value)


Reader = Callable[[Mapping[str, bytes]], dict[str, Tensor]]
"""What makes the tensors of a timm model from the contents of a package's files."""
