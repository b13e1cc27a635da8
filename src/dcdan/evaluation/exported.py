"""What an export has written, what was measured of it, and how that is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Exported:
    """What was written, and what was measured of it; shares are 0..1, differences are of probabilities.

    Attributes:
        folder: where the files are.
        megabytes: size of each graph by precision.
        milliseconds: by precision, faces in a batch -> milliseconds of processor time a face, one thread, best of many.
        parity: faces in a batch -> largest difference between the fp32 graph and the network in torch.
        rounding: faces in a batch -> largest difference between int8 and fp32.
        accuracy: on held-out source faces, by precision; empty where there are none to be had.
        source_faces: how many these are.
        agreement: share of target faces that both graphs answer alike; None without int8.
        target_faces: how many these are.
        notes: what a reader must know, in sentences.
    """

    folder: Path
    megabytes: dict[str, float]
    milliseconds: dict[str, dict[int, float]]
    parity: dict[int, float] = field(default_factory=dict)
    rounding: dict[int, float] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)
    source_faces: int = 0
    agreement: float | None = None
    target_faces: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the folder as plain JSON types, with the versions that it was measured with."""
        facts = {name: value for name, value in asdict(self).items() if name != "folder"}
        return {"schema": 1, **facts, "versions": {name: version(name) for name in ("dcdan", "onnxruntime")}}

    def table(self) -> RenderableType:
        """Return the figures for a rich console."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        body = Table(box=SIMPLE_HEAD)
        body.add_column("")
        for name in self.megabytes:
            body.add_column(name, justify="right")
        body.add_row("size, MB", *(f"{size:.2f}" for size in self.megabytes.values()))
        for batch in next(iter(self.milliseconds.values())):
            body.add_row(
                f"ms a face, batch {batch}, one thread",
                *(f"{found[batch]:.2f}" for found in self.milliseconds.values()),
            )
        if self.accuracy:
            body.add_row(
                f"accuracy on {self.source_faces:,} held-out source faces, %",
                *(f"{100 * share:.2f}" for share in self.accuracy.values()),
            )
        lines = [f"Written to {self.folder}."]
        if self.parity:
            lines.append(f"fp32 graph against torch, largest difference: {_by_batch(self.parity)}.")
        if self.agreement is not None:
            lines.append(f"int8 against fp32, largest difference: {_by_batch(self.rounding)}.")
            lines.append(f"Both give one answer on {100 * self.agreement:.1f} % of {self.target_faces:,} target faces.")
        return Group(body, *map(Text, lines), *(Text(note, style="yellow") for note in self.notes))


def _by_batch(values: dict[int, float]) -> str:
    return ", ".join(f"{value:.1e} at batch {batch}" for batch, value in values.items())
