"""How far a training in two processes moves from the same training in one, step by step, and why.

    python experiments/two_processes.py

Trains on drawn faces of 32 pixels, at gentle and at high learning rates: in one process, in two, and in one whose
first weights are changed by one part in ten million, the rounding of a 32-bit number. If two processes part from one
as the changed weights do, the cause is rounding that training magnifies, not the way the batch is divided.
Prints one JSON object: the relative difference of the trunk's weights after so many steps of the adaptation.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HELPERS = Path(__file__).parents[1] / "tests" / "helpers"
sys.path.insert(0, str(HELPERS))

RATES = {"gentle": (0.001, 0.0005), "high": (0.05, 0.02)}
RELATIVE = 1e-7
STEPS = (1, 4, 16, 32)


def train(folder: Path, name: str, rates: tuple[float, float], relative: float) -> None:
    """Train in this process, or as one of several, and save the weights after each of ``STEPS``."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from dcdan.training.distributed import processes
    from dcdan.training.run import train_run
    from dcdan.training.settings import RunSettings
    from tiny_training import quick

    plain = RunSettings.build

    def build(self: RunSettings, classes: int) -> Any:
        network = plain(self, classes)
        random = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weights in network.parameters():
                weights.mul_(1 + relative * torch.randn(weights.shape, generator=random))
        return network

    after: list[torch.Tensor] = []

    def keep(optimiser: torch.optim.Optimizer, *_: object) -> None:
        values = [p.detach().double().flatten() for group in optimiser.param_groups for p in group["params"]]
        after.append(torch.cat(values))

    RunSettings.build = build  # type: ignore[method-assign]
    register_optimizer_step_post_hook(keep)
    source_rate, rate = rates
    settings = quick(
        "options.pseudo_labels=all", "adaptation.epochs=5", f"source.lr={source_rate}", f"adaptation.lr={rate}"
    )
    torch.set_num_threads(1)
    with processes() as group:
        packs = (str(folder / "studio"), str(folder / "street"))
        train_run(*packs, folder / f"run-{name}", settings, quiet=True, group=group, graph=False)
        if group.is_main_process:
            length = len(after[-1])
            torch.save([each for each in after if len(each) == length], folder / f"{name}.pt")


def difference(folder: Path, name: str, other: str) -> dict[str, float]:
    """Return the relative difference of two trainings after each of ``STEPS``."""
    import torch

    one, two = (torch.load(folder / f"{each}.pt", weights_only=True) for each in (name, other))
    places = [step for step in STEPS if step <= len(one)]
    return {str(n): float(f"{(one[n - 1] - two[n - 1]).norm() / one[n - 1].norm():.1e}") for n in places}


def main() -> None:
    """Train and print."""
    from tiny_training import both

    if len(sys.argv) > 1:
        folder, name, rates, relative = json.loads(sys.argv[1])
        train(Path(folder), name, rates, relative)
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        both(Path(place))
        for kind, rates in RATES.items():
            for name, relative in (("one", 0.0), ("two", 0.0), ("changed", RELATIVE)):
                start = [sys.executable]
                if name == "two":
                    with socket.socket() as free:
                        free.bind(("127.0.0.1", 0))
                        port = free.getsockname()[1]
                    start += ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
                given = json.dumps([place, f"{kind}-{name}", rates, relative])
                subprocess.run([*start, __file__, given], check=True, env=environment, stdout=sys.stderr)
            result[kind] = {
                "two processes": difference(Path(place), f"{kind}-one", f"{kind}-two"),
                f"weights changed by {RELATIVE}": difference(Path(place), f"{kind}-one", f"{kind}-changed"),
            }
    print(json.dumps({"relative_difference_after_steps": result}, indent=2))


if __name__ == "__main__":
    main()
