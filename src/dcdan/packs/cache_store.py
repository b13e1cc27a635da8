"""The contents of the cache, their deletion, and the limit of its size.

The cache contains packs that were built on demand (a few kB per face) and models of the Hugging Face Hub. Where the
limit is exceeded, the least recently used entries are deleted first.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcdan.core.errors import OutputError, UsageError, unknown
from dcdan.core.locks import try_lock
from dcdan.packs.cache import cache_folder
from dcdan.packs.format import INFO

LIMIT_VARIABLE = "DCDAN_CACHE_LIMIT"
DEFAULT_LIMIT = "20GB"
IN_USE_SECONDS = 3600.0
"""An entry used within this time is never deleted by the limit: another process may be reading it."""

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_KEY = re.compile(r"-[0-9a-f]{20}(\.partial)?$")
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?B)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A pack or a model in the cache.

    Attributes:
        name: name of its folder.
        kind: ``pack``, ``model``, or ``unfinished`` for the remains of an interrupted build.
        path: its folder.
        bytes: size of its files.
        used: time of its last use, seconds since 1970.
    """

    name: str
    kind: str
    path: Path
    bytes: int
    used: float

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON values.

        Returns:
            Its attributes by name.
        """
        return {**asdict(self), "path": str(self.path)}


def parse_size(text: str) -> int:
    """Parse a size such as ``500MB`` or ``1.5 GB`` (1 kB = 1,000 bytes).

    Args:
        text: the size.

    Returns:
        Bytes.

    Raises:
        UsageError: the text is not a size.

    Example:
        >>> parse_size("1.5GB"), parse_size("200 kb")
        (1500000000, 200000)
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(f"'{text}' is no size: write it as 500MB or 20GB.")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def cache_limit() -> int:
    """Return the limit of the cache: ``$DCDAN_CACHE_LIMIT``, else 20 GB.

    Returns:
        Bytes.

    Raises:
        UsageError: the variable is not a size.
    """
    return parse_size(os.environ.get(LIMIT_VARIABLE) or DEFAULT_LIMIT)


def cache_entries(folders: Sequence[Path] | None = None) -> list[CacheEntry]:
    """List the entries of the cache.

    Args:
        folders: folders of packs or models, each with one sub-folder per entry; None for those of this user.

    Returns:
        Entries, the most recently used first.
    """
    found: dict[Path, CacheEntry] = {}
    for folder in cache_folders() if folders is None else folders:
        for path in _folders(folder):
            if path.resolve() not in found and (kind := _kind(path)):
                found[path.resolve()] = CacheEntry(path.name, kind, path, _bytes(path), _used(path))
    return sorted(found.values(), key=lambda entry: (-entry.used, entry.name))


def cache_folders() -> list[Path]:
    """Return the folders of the cache.

    Returns:
        The folder of packs and the folder of models.
    """
    packs = cache_folder()
    models = packs / "models" if os.environ.get("DCDAN_CACHE") else packs.parent / "models"
    return [packs, models]


def mark_used(pack: Path) -> None:
    """Record that a pack or a model is in use, by the time of change of its description.

    Args:
        pack: its folder. A read-only folder is left unchanged.
    """
    for name in (INFO, "model.json"):
        if (pack / name).is_file():
            try:
                os.utime(pack / name)
            except OSError:
                return  # the cache of another user, or a disk that is read-only


def clear_cache(names: Sequence[str] = (), folders: Sequence[Path] | None = None) -> list[CacheEntry]:
    """Delete entries of the cache.

    Args:
        names: names of the entries; none for all.
        folders: as in :func:`cache_entries`.

    Returns:
        The deleted entries.

    Raises:
        UsageError: there is no entry of that name.
        OutputError: an entry cannot be deleted, or another process is building it.
    """
    entries = cache_entries(folders)
    known = {entry.name: entry for entry in entries}
    for name in names:
        if name not in known:
            raise unknown("cache entry", name, known)
    chosen = [known[name] for name in dict.fromkeys(names)] if names else entries
    for entry in chosen:
        _delete(entry)
    return chosen


def evict(limit: int, folders: Sequence[Path] | None = None, *, in_use: float = IN_USE_SECONDS) -> list[CacheEntry]:
    """Delete the least recently used entries until the cache is within a limit.

    Args:
        limit: bytes.
        folders: as in :func:`cache_entries`.
        in_use: seconds; entries used more recently are not deleted.

    Returns:
        The deleted entries.

    Raises:
        OutputError: an entry cannot be deleted.
    """
    entries = cache_entries(folders)
    total = sum(entry.bytes for entry in entries)
    deleted: list[CacheEntry] = []
    for entry in reversed(entries):
        if total <= limit:
            break
        if time.time() - entry.used < in_use:
            continue
        _delete(entry)
        deleted.append(entry)
        total -= entry.bytes
    return deleted


def _folders(folder: Path) -> Iterable[Path]:
    """Return the sub-folders of a folder, without links."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []


def _kind(path: Path) -> str:
    """Return the kind of an entry; a folder whose name the cache has not given is none, whatever it holds."""
    if (path / "model.json").is_file() and path.parent.name == "models":
        return "model"
    if _KEY.search(path.name) is None:
        return ""
    return "unfinished" if path.name.endswith(".partial") else "pack" if (path / INFO).is_file() else ""


def _bytes(path: Path) -> int:
    """Return the size of all files below a folder."""
    total = 0
    for root, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118
            except OSError:
                continue
    return total


def _used(path: Path) -> float:
    """Return the time of the last use of an entry."""
    described = [path / name for name in (INFO, "model.json") if (path / name).is_file()]
    try:
        return max(each.stat().st_mtime for each in [*described, path])
    except OSError:
        return 0.0


def _delete(entry: CacheEntry) -> None:
    # The lock of a pack is named after its key, the last part of its name.
    """Delete an entry and its lock."""
    key = entry.name.removesuffix(".partial").rpartition("-")[2]
    lock = entry.path.parent / f"{key}.lock"
    try:
        if lock.is_file():
            with lock.open("r+b") as file:
                if not try_lock(file):
                    raise OutputError(f"Another process is building '{entry.path}': wait for it.")
        shutil.rmtree(entry.path)
        lock.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"'{entry.path}' cannot be deleted ({error.strerror or error}).") from error
