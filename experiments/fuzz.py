"""Coverage-guided fuzzing of one parser, with atheris where it can be had (`pip install atheris`; Linux, CPython).

    python experiments/fuzz.py PARSER [-max_total_time=60] [FOLDER]

PARSER is one of the names in PARSERS; the rest is libFuzzer's (a folder keeps what it has found). The parser may return
or raise the error that it documents; anything else ends the run and leaves the bytes in ``crash-*``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dcdan"], enable_loader_override=False):
    from dcdan.core.errors import DcdanError
    from dcdan.core.limits import read_json, read_toml, text_lines
    from dcdan.datasets.readers.affectnet import read_numbers
    from dcdan.datasets.spec import open_reader, parse_spec
    from dcdan.images.decode import UndecodableImage, decode
    from dcdan.inference.model_card import read_model_info
    from dcdan.inference.session import read_graph
    from dcdan.packs.format import read_info

HERE = Path(tempfile.mkdtemp())


def file_of(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Return a parser of bytes that are first written to a file."""

    def parse(content: bytes) -> object:
        (HERE / name).write_bytes(content)
        return read(HERE / name)

    return parse


PARSERS: dict[str, Callable[[bytes], object]] = {
    "picture": lambda content: decode(content, max_pixels=1_000_000),
    "json": file_of("a.json", read_json),
    "toml": file_of("a.toml", read_toml),
    "lines": file_of("a.txt", lambda path: list(text_lines(path))),
    "npy": file_of("a.npy", read_numbers),
    "graph": file_of("model.onnx", read_graph),
    "model": file_of("model.json", lambda path: read_model_info(path.parent)),
    "pack": file_of("pack.json", lambda path: read_info(path.parent)),
    "manifest": file_of("m.csv", lambda path: list(open_reader(parse_spec(f"manifest:{path}")).selected())),
}


def main() -> None:
    """Fuzz the parser that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in PARSERS:
        sys.exit(f"Name a parser: {', '.join(PARSERS)}.")
    parse = PARSERS[sys.argv.pop(1)]

    def one(content: bytes) -> None:
        try:
            parse(content)
        except (DcdanError, UndecodableImage, ValueError):
            return

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
