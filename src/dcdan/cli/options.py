"""The options that several commands share: one name, one short form, one meaning everywhere.

A command takes these types for its parameters. An option that means something else has another name; a test reads the
parsers of all commands and fails where one name has two forms.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A run folder, a name that `dcdan models` lists, a run's .onnx file, or hf-hub:owner/name.",
        show_default="the package's model",
    ),
]
OutFolder = Annotated[Path | None, typer.Option("--out", "-o", metavar="PATH", help="Where the results are written.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="PATH", help="Where the results are written.")]
Force = Annotated[bool, typer.Option("--force", help="Replace results that are there already.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, and nothing on stderr but errors.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of all random choices.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Take at most N inputs.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="Threads of ONNX Runtime and OpenCV.", show_default="all cores"),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Processes that read pictures.", show_default="one per core"),
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="Where the network runs: auto, cpu, cuda, coreml, openvino, ...")
]
Strict = Annotated[bool, typer.Option("--strict", help="End with exit code 3 if anything failed.")]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="local | ADDRESS", help="Work on a Ray cluster (auto, HOST:PORT) or on Ray on this machine."
    ),
]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings in TOML.")]
Size = Annotated[
    int | None, typer.Option("--size", metavar="PX", help="Side of the faces in pixels.", show_default="112")
]


class AlignChoice(StrEnum):
    """Values of ``--align``."""

    AUTO = "auto"
    MTCNN = "mtcnn"
    NONE = "none"


Align = Annotated[
    AlignChoice | None,
    typer.Option(
        "--align",
        metavar="auto | mtcnn | none",
        help="Find and align faces (mtcnn), or take pictures as they are (none).",
        show_default="auto",
    ),
]
