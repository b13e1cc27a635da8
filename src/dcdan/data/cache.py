"""Where packs that nobody named are kept: under a hash of all that their bytes depend on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dcdan.data.pack_info import SCHEMA
from dcdan.data.reader import Reader
from dcdan.errors import OutputError
from dcdan.faces.name_order import in_order
from dcdan.lock import locked


def cache_folder(given: Path | str | None = None) -> Path:
    """Return the cache: the one given, else $DCDAN_CACHE, else ~/.cache/dcdan/packs."""
    return Path(given or os.environ.get("DCDAN_CACHE") or "~/.cache/dcdan/packs").expanduser()


def cache_key(reader: Reader, size: int, alignment: str) -> str:
    """Return 20 hexadecimal digits of data set, options, size, alignment and the state of the data's files.

    The files are known by name, size and time of change: nothing of them is read.
    """
    about = {
        "schema": SCHEMA,
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
    """Let one process at a time build the pack of a key; the others wait, and then find it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{key}.lock").open("a+b")
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"The cache '{folder}' cannot be written ({reason}): name another in DCDAN_CACHE.") from None
    with file:
        locked(file, wait=True)
        yield


def _listing(root: Path) -> Iterator[str]:
    """Yield a line for every file under a folder, in an order that does not depend on the file system."""
    folders: list[str] = []
    with os.scandir(root) as entries:
        for name in in_order(_files(entries, folders)):
            state = (root / name).stat(follow_symlinks=False)
            yield f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n"
    for name in sorted(folders):
        yield f"{name}/\n"
        yield from _listing(root / name)


def _files(entries: Iterable[os.DirEntry[str]], folders: list[str]) -> Iterator[str]:
    """Yield the names of what is no folder, and collect the folders."""
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        else:
            yield entry.name
