"""A pack under a known shift: a copy in the cache that differs in the pixels alone, written face by face."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from dcdan.data.cache import cache_folder, cache_lock
from dcdan.data.pack import Pack
from dcdan.data.pack_info import FACES, INFO, SCHEMA, TABLE, npy_header, read_info
from dcdan.data.partial import partial_folder
from dcdan.data.progress import progress_bar
from dcdan.data.shifts import Shift, shifted
from dcdan.durable import sync_folder, write_text, written
from dcdan.errors import OutputError, PackError

_BLOCK = 256


def shifted_copy(folder: Path, shift: Shift, cache: Path | str | None = None, *, progress: bool = True) -> Path:
    """Return the folder of a pack's copy under a shift, made in the cache if it is not there.

    The copy is kept under a hash of the pack's checksums and the shift. All faces are shifted, whatever part is asked
    for later; the table is the same. Raises PackError for a pack that is damaged or shifted already, and OutputError.
    """
    pack = Pack.open(folder, labelled=False)
    if pack.info.shift is not None:
        was = pack.info.shift
        raise PackError(
            f"The pack '{folder}' is under a shift already ({was.kind}, severity {was.severity}): "
            "name the pack that it was made from."
        )
    place = cache_folder(cache)
    about = {"schema": SCHEMA, "sha256": pack.info.sha256, "shift": shift.model_dump(mode="json")}
    key = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=10).hexdigest()
    out = place / f"{pack.info.data_set}-{pack.size}-{shift.kind}{shift.severity}-{key}"
    with cache_lock(place, key):
        if not (out / INFO).is_file():
            _write(pack, shift, out, progress)
    return out


def _write(pack: Pack, shift: Shift, out: Path, progress: bool) -> None:
    """Write the copy beside its place, and let it appear under its name when it is whole."""
    partial = partial_folder(out)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with written(partial / TABLE) as beside:
            shutil.copyfile(pack.folder / TABLE, beside)
        with written(partial / FACES) as beside:
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
    """Write the shifted faces and return their checksum; raise PackError when the pack's own do not have theirs."""
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
        raise PackError(f"The pack '{pack.folder}' is damaged: {FACES}: its checksum is another; pack the data again.")
    return wrote.hexdigest()


def _info(folder: Path, shift: Shift, faces_sha256: str) -> str:
    """Return the pack.json of a pack's copy: what the pack says of itself, with the shift in its spec too."""
    info = read_info(folder)
    options = f"shift={shift.kind}&severity={shift.severity}"
    joint = "" if info.spec.endswith("?") else "&" if "?" in info.spec else "?"
    changes = {
        "spec": f"{info.spec}{joint}{options}",
        "shift": shift,
        "sha256": info.sha256 | {FACES: faces_sha256},
    }
    return info.model_copy(update=changes).text()
