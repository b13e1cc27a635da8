"""Draw the pictures of README.md and docs/architecture.md from the code: ``python docs/make_images.py``.

``rooms.svg`` is read from the imports of the package, ``network.svg`` from a forward pass of the network, and
``predict.jpg`` is what ``dcdan predict --draw`` makes of drawn faces.
"""

from __future__ import annotations

import ast
import tempfile
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "dcdan"
IMAGES = ROOT / "docs" / "images"

ROWS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("app", "api"),
    ("paper", "benchmark", "reports"),
    ("export", "evaluation"),
    ("training", "adaptation"),
    ("explanation", "domain_shift", "annotation"),
    ("inference",),
    ("methods", "audit"),
    ("models", "packs"),
    ("datasets", "corruptions"),
    ("faces", "metrics", "plots", "correction"),
    ("images", "jobs", "expressions"),
    ("core",),
)
"""Rooms from the top down, as they are drawn."""

STYLE = (
    "<style>text{font-family:Helvetica,Arial,sans-serif;font-size:13px;fill:#1b2733}"
    ".s{font-size:11px;fill:#52616f}rect{fill:#eef3f8;stroke:#7d93a8;rx:6}line,path{stroke:#9aa9b7;fill:none}</style>"
)


def rooms_svg() -> str:
    """Return the rooms of the package, with the number of their modules, and a line for each pair that imports."""
    width, high, gap = 150, 44, 34
    places: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(ROWS):
        for place, room in enumerate(row):
            places[room] = (400 + (place - (len(row) - 1) / 2) * (width + 60), 30 + number * (high + gap))
    total = 30 + len(ROWS) * (high + gap)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {total}" width="800" height="{total}">', STYLE]
    for room, others in sorted(imports().items()):
        for other in sorted(others):
            if room in places and other in places and other != "core":
                (x0, y0), (x1, y1) = places[room], places[other]
                parts.append(f'<line x1="{x0:.0f}" y1="{y0 + high:.0f}" x2="{x1:.0f}" y2="{y1:.0f}" stroke-width="1"/>')
    for room, (x, y) in places.items():
        below = PACKAGE / room
        count = sum(1 for path in below.rglob("*.py") if path.name != "__init__.py") if below.is_dir() else 1
        parts.append(f'<rect x="{x - width / 2:.0f}" y="{y}" width="{width}" height="{high}"/>')
        parts.append(f'<text x="{x:.0f}" y="{y + 19}" text-anchor="middle">{room}</text>')
        noun = "module" if count == 1 else "modules"
        parts.append(f'<text class="s" x="{x:.0f}" y="{y + 35}" text-anchor="middle">{count} {noun}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def imports() -> dict[str, set[str]]:
    """Return room -> rooms that its modules import, read from the source."""
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.module if isinstance(node, ast.ImportFrom) else None
            if name and name.startswith("dcdan."):
                other = name.split(".")[1]
                if other != room:
                    found.setdefault(room, set()).add(other)
    return found


def network_svg(size: int = 112, classes: int = 8) -> str:
    """Return the network with the shapes of a forward pass of one face of ``size`` pixels."""
    import torch

    from dcdan.models.network import Network, NetworkSettings

    network = Network(NetworkSettings(), classes, size).eval()
    shapes: dict[str, str] = {}

    def note(name: str) -> Any:
        def hook(module: object, given: tuple, output: object) -> None:  # noqa: ARG001
            first = output
            while isinstance(first, tuple | list):
                first = first[-1] if name == "trunk" else first[0]
            shapes[name] = " x ".join(str(side) for side in first.shape[1:])

        return hook

    for name, module in (("trunk", network.trunk), ("squeeze", network.squeeze)):
        module.register_forward_hook(note(name))
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, size, size))
    width = outputs.of_global.shape[1]
    boxes = {
        "face": (20, 150, "face", f"3 x {size} x {size}"),
        "trunk": (190, 150, "trunk (MobileNet-V2)", shapes["trunk"]),
        "squeeze": (360, 90, "1x1 convolution, AFC", shapes["squeeze"]),
        "attention": (530, 90, "dual attention", shapes["squeeze"]),
        "global": (700, 90, "global features", f"{width}"),
        "regions": (360, 210, "five regions", "eyes, nose, mouth corners"),
        "local": (530, 210, "local branch", f"5 x {width}"),
        "weights": (700, 210, "local features", f"{width}, weights 5"),
        "heads": (870, 150, "three heads", f"3 x {classes} logits"),
        "choice": (1040, 150, "choice of prediction", f"{classes} probabilities"),
    }
    arrows = [
        *(("face", "trunk"), ("trunk", "squeeze"), ("squeeze", "attention"), ("attention", "global")),
        *(("trunk", "regions"), ("regions", "local"), ("local", "weights"), ("global", "heads"), ("weights", "heads")),
        ("heads", "choice"),
    ]
    wide, high = 150, 56
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1210 320" width="1210" height="320">', STYLE]
    for start, end in arrows:
        (x0, y0, *_), (x1, y1, *_) = boxes[start], boxes[end]
        parts.append(f'<line x1="{x0 + wide}" y1="{y0 + high / 2}" x2="{x1}" y2="{y1 + high / 2}" stroke-width="2"/>')
    for x, y, title, shape in boxes.values():
        parts.append(f'<rect x="{x}" y="{y}" width="{wide}" height="{high}"/>')
        parts.append(f'<text x="{x + wide / 2}" y="{y + 24}" text-anchor="middle">{escape(title)}</text>')
        parts.append(f'<text class="s" x="{x + wide / 2}" y="{y + 42}" text-anchor="middle">{escape(shape)}</text>')
    parts.append('<text class="s" x="20" y="30">One face; every shape has the batch before it.</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def predict_jpeg() -> bytes:
    """Return, as JPEG, what ``dcdan predict --draw`` makes of a picture with four drawn faces."""
    from dcdan.cli.main import run
    from dcdan.datasets.synthetic.domains import draw_face

    faces = []
    for number, expression in enumerate(("happiness", "surprise", "neutral", "sadness")):
        face = np.asarray(draw_face(np.random.default_rng(number + 1), expression, "studio", 176)[0])
        faces.append(np.pad(face, ((32, 32), (32, 32), (0, 0)), mode="edge"))
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(np.concatenate(faces, axis=1)).save(f"{folder}/people.png")
        if run(["predict", f"{folder}/people.png", "--draw", f"{folder}/drawn", "--quiet"]) != 0:
            raise SystemExit("dcdan predict failed")
        return _jpeg(Image.open(f"{folder}/drawn/people.png"))


def _jpeg(picture: Image.Image) -> bytes:
    picture.convert("RGB").resize((picture.width * 3 // 4, picture.height * 3 // 4)).save(
        out := BytesIO(), "JPEG", quality=80
    )
    return out.getvalue()


def main() -> None:
    """Write all pictures."""
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "rooms.svg").write_text(rooms_svg(), encoding="utf-8")
    (IMAGES / "network.svg").write_text(network_svg(), encoding="utf-8")
    (IMAGES / "predict.jpg").write_bytes(predict_jpeg())


if __name__ == "__main__":
    main()
