"""The cache of packs, and copies of packs under a known shift.

The name of a pack in the cache is a hash of all that its bytes depend on. A copy under a shift has the same table and
other pixels, written block by block.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dcdan.core.atomic_io import atomic_write, sync_folder, write_text
from dcdan.core.console import progress_bar
from dcdan.core.errors import OutputError, PackError
from dcdan.core.locks import try_lock
from dcdan.corruptions.shifts import Shift, shifted
from dcdan.datasets.reader import Reader
from dcdan.images.name_order import in_order
from dcdan.jobs.resumable_job import job_folder
from dcdan.packs.format import FACES, INFO, OTHER_CHECKSUM, PACK_SCHEMA, TABLE, damaged, npy_header, read_info
from dcdan.packs.pack import Pack


def cache_folder(given: Path | str | None = None) -> Path:
    """Return the folder of the cache.

    Args:
        given: the folder; None for `$DCDAN_CACHE`, or `~/.cache/dcdan/packs`.

    Returns:
        The folder, which need not exist.
    """
    return Path(given or os.environ.get("DCDAN_CACHE") or "~/.cache/dcdan/packs").expanduser()


def cache_key(reader: Reader, size: int, alignment: str) -> str:
    """Return the key of a pack in the cache: a hash of the data set, its options, and the state of its files.

    Args:
        reader: the data set. Of its files, name, size and time of change are hashed, and nothing is read.
        size: side of the faces in pixels.
        alignment: "mtcnn" or "none".

    Returns:
        20 hexadecimal digits.
    """
    about = {
        "schema": PACK_SCHEMA,
        "reader": reader.name,
        "root": str(reader.root.resolve()) if reader.needs_path and reader.root else str(reader.root),
        "options": reader.options.model_dump(mode="json"),
        "size": size,
        "alignment": alignment,
    }
    if shift := reader.options.known_shift:
        about["shift"] = shift.model_dump(mode="json")
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=10)
    if reader.needs_path and reader.root is not None:
        root = reader.root if reader.root.is_dir() else reader.root.parent
        for line in _listing(root):
            digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


@contextmanager
def cache_lock(folder: Path, key: str) -> Iterator[None]:
    """Let one process at a time build the pack of a key; the others wait and then use it.

    Args:
        folder: the folder of the cache.
        key: the key.

    Yields:
        Nothing.

    Raises:
        OutputError: the cache cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{key}.lock").open("a+b")
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"The cache '{folder}' cannot be written ({reason}): name another in DCDAN_CACHE.") from None
    with file:
        try_lock(file, wait=True)
        yield


def _listing(root: Path) -> Iterator[str]:
    """Yield a line for every file under a folder, in an order that does not depend on the file system.

    Folders are visited by a list of their own, so that their depth has no limit. What cannot be listed or stated (no
    permission, a path longer than the system takes) is one line with the error's number.
    """
    waiting = [(root, "")]
    while waiting:
        folder, line = waiting.pop()
        if line:
            yield line
        folders: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for name in in_order(_files(entries, folders)):
                    yield _state(folder / name)
        except OSError as error:
            yield f"not listed: {error.errno}\n"
        waiting += [(folder / name, f"{name}/\n") for name in sorted(folders, reverse=True)]


def _state(path: Path) -> str:
    """Return a line with the size and time of change of a file."""
    try:
        state = path.stat(follow_symlinks=False)
    except OSError as error:
        return f"{path.name}\0not stated: {error.errno}\n"
    return f"{path.name}\0{state.st_size}\0{state.st_mtime_ns}\n"


def _files(entries: Iterable[os.DirEntry[str]], folders: list[str]) -> Iterator[str]:
    """Yield the names of all entries that are not folders, and append those of the folders to a list."""
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        else:
            yield entry.name


_BLOCK = 256


def shifted_copy(folder: Path, shift: Shift, cache: Path | str | None = None, *, progress: bool = True) -> Path:
    """Return the folder of a pack's copy under a shift, created in the cache where it is missing.

    All faces are shifted, whatever part of them is used later.

    Args:
        folder: the pack.
        shift: kind, severity and seed of the shift.
        cache: the folder of the cache; None for the default.
        progress: show a bar on stderr when that is a terminal.

    Returns:
        The folder of the copy.

    Raises:
        PackError: the pack is damaged, or under a shift already.
        OutputError: the cache cannot be written.
    """
    pack = Pack.open(folder, labelled=False)
    if pack.info.shift is not None:
        was = pack.info.shift
        raise PackError(
            f"The pack '{folder}' is under a shift already ({was.kind}, severity {was.severity}): "
            "name the pack that it was made from."
        )
    place = cache_folder(cache)
    about = {"schema": PACK_SCHEMA, "sha256": pack.info.sha256, "shift": shift.model_dump(mode="json")}
    key = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=10).hexdigest()
    out = place / f"{pack.info.data_set}-{pack.size}-{shift.kind}{shift.severity}-{key}"
    with cache_lock(place, key):
        if not (out / INFO).is_file():
            _write(pack, shift, out, progress)
    return out


def _write(pack: Pack, shift: Shift, out: Path, progress: bool) -> None:
    """Write the copy into a temporary folder, and rename that when it is complete."""
    partial = job_folder(out)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with atomic_write(partial / TABLE) as beside:
            shutil.copyfile(pack.folder / TABLE, beside)
        with atomic_write(partial / FACES) as beside:
            faces_sha256 = _write_faces(pack, shift, beside, progress)
        write_text(partial / INFO, _info(pack.folder, shift, faces_sha256))
        shutil.rmtree(out, ignore_errors=True)
        partial.replace(out)
        sync_folder(out.parent)
    except OSError as error:
        raise OutputError(f"'{out}' cannot be written ({error.strerror or error}): name another cache.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_faces(pack: Pack, shift: Shift, file: Path, progress: bool) -> str:
    """Write the shifted faces and return their SHA-256; raise PackError where the pack's own faces are damaged."""
    header = npy_header(pack.info.shape())
    read, wrote = hashlib.sha256(header), hashlib.sha256(header)
    paths, numbers = pack.paths.tolist(), pack.face_numbers.tolist()
    title = f"shifting ({shift.kind} {shift.severity})"
    with file.open("wb") as target, progress_bar(title, len(pack), shown=progress) as advance:
        target.write(header)
        for start in range(0, len(pack), _BLOCK):
            block = slice(start, start + _BLOCK)
            faces = np.array(pack.faces[block])
            changed = shifted(faces, shift, paths[block], numbers[block])
            read.update(faces.data)
            wrote.update(changed.data)
            target.write(changed.data)
            advance(len(faces))
    if read.hexdigest() != pack.info.sha256.get(FACES):
        raise damaged(pack.folder, FACES, OTHER_CHECKSUM)
    return wrote.hexdigest()


def _info(folder: Path, shift: Shift, faces_sha256: str) -> str:
    """Return the pack.json of a pack's copy: the pack's own, with the shift and the new checksum."""
    info = read_info(folder)
    options = f"shift={shift.kind}&severity={shift.severity}"
    joint = "" if info.spec.endswith("?") else "&" if "?" in info.spec else "?"
    changes = {
        "spec": f"{info.spec}{joint}{options}",
        "shift": shift,
        "sha256": info.sha256 | {FACES: faces_sha256},
    }
    return info.model_copy(update=changes).text()
