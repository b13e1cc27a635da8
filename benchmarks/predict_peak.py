"""Peak memory of ``dcdan predict`` on pictures that are made to be huge: below 600 MB (trial.md, S3).

    python benchmarks/predict_peak.py

Each picture is predicted alone by a process of its own, and then all together. Prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from machine import machine
from pack_memory import peak_megabytes
from PIL import Image

from dcdan.cli.main import run

BAR = 600.0


def bare_png(path: Path) -> None:
    """Write a PNG of 69 bytes that declares 1 x 199,999,999 pixels."""

    def part(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    header = (1).to_bytes(4) + (199_999_999).to_bytes(4) + bytes([8, 2, 0, 0, 0])
    content = part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def saved(mode: str, width: int, height: int, **options: object) -> Callable[[Path], None]:
    """Return a function that writes a plain picture of this size."""
    return lambda path: Image.new(mode, (width, height), 128 if mode == "L" else None).save(path, **options)


PICTURES: dict[str, Callable[[Path], None]] = {
    "bare.png": bare_png,
    "progressive-cmyk.jpg": saved("CMYK", 14000, 14000, progressive=True),
    "baseline.jpg": saved("RGB", 14000, 14000),
    "largest.png": saved("RGB", 7071, 7071, compress_level=1),
    "largest.tif": saved("RGB", 7071, 7071),
    "thin.png": saved("L", 20000, 1),
}


def peak(paths: list[Path], folder: Path) -> float:
    """Return the peak memory of a process that predicts the pictures, in MB."""
    command = [sys.executable, __file__, "--here", str(folder / "rows.csv"), *map(str, paths)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--here"]:
        run(["predict", *sys.argv[3:], "--out", sys.argv[2], "--force", "--quiet", "--threads", "1"])
        print(round(peak_megabytes(), 1))
        return
    with tempfile.TemporaryDirectory() as place:
        paths = []
        for name in PICTURES:
            paths.append(Path(place) / name)
            subprocess.run([sys.executable, __file__, "--write", name, str(paths[-1])], check=True)
        rows = {path.name: peak([path], Path(place)) for path in paths}
        rows["all together"] = peak(paths, Path(place))
    most = max(rows.values())
    found = {"benchmark": "predict_peak", "peak_mb": rows, "bar_mb": BAR, "within_bar": most <= BAR}
    print(json.dumps({**found, "machine": machine()}, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        PICTURES[sys.argv[2]](Path(sys.argv[3]))
    else:
        main()
