"""Packs and data sets as inputs of ``dcdan predict``: a hook of :func:`dcdan.images.inputs.find_inputs`.

Plain folders of pictures are not handled here, whatever data set they contain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path, PurePath

import numpy as np

from dcdan.core.errors import DataError
from dcdan.datasets.listing import nothing_selected
from dcdan.datasets.reader import Reader, Sample
from dcdan.datasets.registry import readers
from dcdan.datasets.spec import is_pack, open_reader, parse_spec, view_options
from dcdan.images.inputs import Input, InputKind, Picture
from dcdan.images.remote import is_url
from dcdan.images.status import Status, UndecodableImage
from dcdan.packs.cache import shifted_copy
from dcdan.packs.format import FACES
from dcdan.packs.pack import Pack

_READER = re.compile(r"([A-Za-z][A-Za-z0-9_+-]+):")
_MANIFESTS = (".csv", ".parquet")


def data_inputs(text: str) -> Iterator[Input] | None:
    """Return the pictures of a pack or a data set.

    Args:
        text: a pack (``packs/lfw``), a spec (``ferplus:/data/FERPlus?split=test``) or a manifest (``faces.csv``).
            Options may follow, as everywhere.

    Returns:
        The pictures, or None where the text names neither a pack nor a data set.

    Raises:
        PackError, DataError, UsageError: the pack or the data set cannot be opened.

    Example:
        >>> [each.path for each in data_inputs("synthetic:street?n=2&limit=1")]
        ['street/000000/0000000']
        >>> data_inputs("photos/") is None
        True
    """
    if pack_folder(text) is not None:
        return _of_pack(text)
    return _of_reader(text) if is_data_set(text) else None


def pack_folder(text: str) -> Path | None:
    """Return the folder of the pack that a text names, without its options.

    Args:
        text: an input as the user wrote it.

    Returns:
        The folder, or None where the text names no pack.
    """
    head = text.rpartition("?")[0] or text
    folder = Path(head).expanduser()
    return folder if not is_url(text) and is_pack(folder) else None


def is_data_set(text: str) -> bool:
    """Return whether a text names a data set: a reader and a path, or a manifest.

    Args:
        text: an input as the user wrote it.

    Returns:
        True when it does.

    Example:
        >>> is_data_set("synthetic:street"), is_data_set("camera:0"), is_data_set("photo.jpg")
        (True, False, False)
    """
    if is_url(text) or text.startswith(("-", "@")):
        return False
    head = text.rpartition("?")[0] or text
    if head.lower().endswith(_MANIFESTS):
        return Path(head).expanduser().is_file()
    named = _READER.match(text)
    return named is not None and named[1] in readers()


def framing(texts: Sequence[str]) -> str | None:
    """Return how the faces of inputs are framed.

    Faces of a pack are aligned. Some data sets contain crops of one face. In mixed inputs faces must be detected.

    Args:
        texts: inputs as the user wrote them.

    Returns:
        ``aligned``, ``cropped``, or None where faces must be detected.

    Example:
        >>> framing(["synthetic:street"]), framing(["photo.jpg"])
        ('cropped', None)
    """
    kinds = {_framing(text) for text in texts}
    return kinds.pop() if len(kinds) == 1 else None


def _framing(text: str) -> str | None:
    """Return the framing of one input."""
    if pack_folder(text) is not None:
        return "aligned"
    if is_data_set(text) and open_reader(parse_spec(text)).cropped:
        return "cropped"
    return None


def _of_pack(text: str) -> Iterator[Input]:
    """Yield the faces of a pack as inputs."""
    options = view_options(parse_spec(text).options)
    folder = pack_folder(text)
    assert folder is not None
    view = options.model_dump(include={"split", "limit", "seed"})
    if options.known_shift is not None:
        folder = shifted_copy(folder, options.known_shift)
    pack = Pack.open(folder, labelled=False, **view)
    paths, numbers = pack.paths, pack.face_numbers
    for row in pack.select().tolist():
        path = str(paths[row])
        name = PurePath(path if numbers[row] == 0 else f"{path}-{numbers[row]}")
        state = f"{pack.info.sha256.get(FACES)} {row}"
        yield Input(path, InputKind.PICTURE, name, state=state, load=partial(_face, folder, path, row))


@lru_cache(maxsize=4)
def _faces(folder: Path) -> np.ndarray:
    """Return the faces of a pack, opened once."""
    return Pack.open(folder, labelled=False).faces


def _face(folder: Path, path: str, row: int) -> Picture:
    """Return one face of a pack as an RGB picture."""
    face = np.array(_faces(folder)[row])
    return Picture(path, face if face.ndim == 3 else np.repeat(face[..., None], 3, axis=2))


def _of_reader(text: str) -> Iterator[Input]:
    """Yield the pictures of a data set as inputs."""
    reader = open_reader(parse_spec(text))
    empty = True
    for sample in reader.selected():
        empty = False
        yield Input(
            sample.path,
            InputKind.PICTURE,
            PurePath(sample.path),
            state=f"{text} {sample.path} {_state(reader, sample)}",
            load=partial(_sample, reader, sample),
        )
    if empty:
        raise nothing_selected(reader, "recognise")


def _state(reader: Reader, sample: Sample) -> str:
    """Return size and time of change of a sample's file, by which a resumed prediction detects changes."""
    try:
        found = (reader.folder / sample.path).stat()
    except (OSError, ValueError, DataError):
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _sample(reader: Reader, sample: Sample) -> Picture:
    """Load one picture of a data set, or its status."""
    try:
        return Picture(sample.path, reader.load(sample))
    except UndecodableImage as error:
        return Picture(sample.path, None, error.status, error.reason)
    except FileNotFoundError:
        return Picture(sample.path, None, Status.MISSING, "there is no such file")
    except OSError as error:
        return Picture(sample.path, None, Status.UNREADABLE, error.strerror or str(error))
