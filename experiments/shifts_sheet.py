"""One face under every known shift and severity: ``python experiments/shifts_sheet.py --out docs/results/shifts.png``.

The face is drawn by ``dcdan`` itself, so the sheet may be shown to anyone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from dcdan.core.atomic_io import write_bytes
from dcdan.corruptions.shifts import SEVERITIES, SHIFT_KINDS, SHIFTS, Shift, shifted
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.packs.prepare import Preparer
from dcdan.plots.contact_sheet import Mark, SheetCell, SheetRow, sheet_png


def drawn_face(spec: str, number: int, size: int) -> tuple[np.ndarray, str]:
    """Return the aligned face ``(size, size[, 3])`` of a spec's sample of that number, and the sample's path."""
    reader = open_reader(parse_spec(spec))
    sample = list(reader.selected())[number]
    faces, rows = Preparer(reader, size, "mtcnn").prepare([sample])
    return faces[0], rows[0]["path"]


def sheet(face: np.ndarray, path: str) -> bytes:
    """Return a PNG with a row for every shift: the face as it is, then severities 1 to 5."""
    rows = []
    for kind in SHIFT_KINDS:
        cells = [SheetCell(face, (Mark("as it is"),))]
        for severity, strength in zip(SEVERITIES, SHIFTS[kind].strengths, strict=True):
            changed = shifted(face[None], Shift(kind=kind, severity=severity), [path], [0])[0]
            cells.append(SheetCell(changed, (Mark(f"{severity}: {strength:g}"),)))
        rows.append(SheetRow(f"{kind} ({SHIFTS[kind].unit})", tuple(cells)))
    return sheet_png(rows, columns=1 + len(SEVERITIES), side=112)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", default="synthetic:street?n=40", help="where the face is from")
    parser.add_argument("--face", type=int, default=16, help="number of the sample")
    parser.add_argument("--size", type=int, default=112, help="side of the face in pixels")
    parser.add_argument("--out", type=Path, required=True, help="the PNG")
    given = parser.parse_args()
    write_bytes(given.out, sheet(*drawn_face(given.spec, given.face, given.size)))


if __name__ == "__main__":
    main()
