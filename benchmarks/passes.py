"""The share of a benchmark's time that is not forward and backward passes, for a source stage and cells of a plan.

    python benchmarks/passes.py [--faces 4000] [--methods dcdan dann]

Trains as ``dcdan benchmark`` does, each in a process forked from one that has its imports, on drawn faces with the
settings of experiments/cross_domain.toml. Counted as passes is the processor time of networks called, of the methods'
losses and of backward. The rest is compiling, reading, views, optimiser, label-free scores and reports, of which the
dearest are named. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import machine
from torch._dynamo import convert_frame

from dcdan.benchmark.cell import run_cell, run_stage
from dcdan.benchmark.plan import Plan, cells_of
from dcdan.benchmark.prepare import prepared_cells
from dcdan.benchmark.runner import prepared_context
from dcdan.methods.base import find_method
from dcdan.models.network import Network
from dcdan.training import loop, step
from dcdan.training.model_selection import epoch_evaluation

BAR = 0.05
NAMED = {
    "compiling": ((convert_frame, "_compile"),),
    "views": ((step, "source_view"), (step, "strong_view"), (step, "weak_view")),
    "optimiser": ((torch.optim.SGD, "step"), (torch.nn.utils, "clip_grad_norm_"), (loop, "follow")),
    "checkpoints": ((loop, "save_checkpoint"), (loop, "save_epoch")),
    "label-free scores": ((epoch_evaluation, "scored"),),
}
"""What is timed apart, and where it is called."""
PLAN = Path(__file__).parent.parent / "experiments" / "cross_domain.toml"


class Watch:
    """Adds up the processor time of calls; a call within another counts once."""

    def __init__(self) -> None:
        self.seconds, self.depth = 0.0, 0

    def over(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call`` with its time counted."""

        def counted(*given: Any, **more: Any) -> Any:
            self.depth += 1
            began = time.process_time()
            try:
                return call(*given, **more)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.seconds += time.process_time() - began

        return counted


def plan_of(faces: int, methods: list[str]) -> Plan:
    """Return the plan's settings and rows on drawn faces, one target and seed."""
    given = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    return Plan.model_validate(
        {
            "title": "passes",
            "trunks": given["trunks"],
            "seeds": [0],
            "settings": given["settings"],
            "sources": [{"name": "studio", "data": f"synthetic:studio?n={faces}"}],
            "targets": [
                {"name": "street", "data": f"synthetic:street?n={faces}", "test": f"synthetic:street?n={faces}&seed=1"}
            ],
            "also": [{"name": "studio test", "data": f"synthetic:studio?n={faces}&seed=1"}],
            "methods": [row for row in given["methods"] if row["key"] in methods],
        }
    )


def measure(text: str, classes: dict[str, tuple[str, ...]], number: int, folder: Path) -> None:
    """Write ``NUMBER.json``: where the processor's time of a stage (-1) or of a cell goes, in this process."""
    torch.set_num_threads(1)
    plan = Plan.model_validate_json(text)
    cells = list(cells_of(plan, classes))
    cell = cells[max(number, 0)]
    watch = Watch()
    Network.__call__ = watch.over(Network.__call__)  # type: ignore[method-assign]
    torch.Tensor.backward = watch.over(torch.Tensor.backward)  # type: ignore[method-assign]
    for method in {find_method(settings.method) for settings in (cell.settings, cell.stage.settings)}:
        for losses in (method.losses, method.source_losses):
            setattr(method, losses.__name__, watch.over(losses))
    named = {name: Watch() for name in NAMED}
    for name, places in NAMED.items():
        for place, call in places:
            setattr(place, call, named[name].over(getattr(place, call)))
    if number < 0:
        run_stage(cell.stage, folder, "")
    else:
        run_cell(cell, plan, folder, "")
    # A kernel is compiled when it is first called, which is within a pass.
    row = {"seconds": time.process_time(), "in_passes": watch.seconds - named["compiling"].seconds}
    row |= {name: one.seconds for name, one in named.items()}
    (folder / f"{number}.json").write_text(json.dumps(row), encoding="utf-8")


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=4000, help="of each domain")
    parser.add_argument("--methods", nargs="+", default=["dcdan", "dann"], help="keys of the plan's rows")
    given = parser.parse_args()
    plan = plan_of(given.faces, given.methods)
    rows = {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        os.environ["DCDAN_CACHE"] = str(folder / "packs")
        _, _, classes = prepared_cells(plan, progress=False)
        cells = list(cells_of(plan, classes))
        context = prepared_context(["cpu"])
        for number, name in enumerate(["source stage", *(cell.entry.key for cell in cells)], -1):
            process = context.Process(target=measure, args=(plan.model_dump_json(), classes, number, folder))
            process.start()
            process.join()
            rows[name] = json.loads((folder / f"{number}.json").read_text(encoding="utf-8"))
    total, passes = (sum(row[key] for row in rows.values()) for key in ("seconds", "in_passes"))
    print(
        json.dumps(
            {
                "benchmark": "passes",
                "faces": given.faces,
                "rows": {name: {key: round(spent, 1) for key, spent in row.items()} for name, row in rows.items()},
                "outside": round(1 - passes / total, 4),
                "bar": BAR,
                "within_bar": 1 - passes / total <= BAR,
                "machine": machine(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
