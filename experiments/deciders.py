"""Which way of deciding between the heads names most faces rightly, on held-out source faces and on a shift of them.

    python experiments/deciders.py RUN ... --data "packs/ferplus48?shift=jpeg&severity=5"

The shifted faces are those of the validation split, whose labels are the source's own: no target's are looked at. A
run with ``options.certain = 0`` brings the dynamic thresholds along. Prints a row for each run, accuracies in per cent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcdan.core.limits import read_json
from dcdan.evaluation.evaluate import labels_among
from dcdan.models.network import Network
from dcdan.models.selection import select
from dcdan.packs.build import pack_for
from dcdan.training.forward import predict_features
from dcdan.training.pretrained import network_of
from dcdan.training.run_folder import data_of
from dcdan.training.settings import RunSettings

HEADER = "| run | faces | fused head alone | the run's thresholds | certain at .9 |\n|---|---|---|---|---|"


def right(
    network: Network, thresholds: Tensor, spec: str, classes: tuple[str, ...], settings: RunSettings, source: bool
) -> list[float]:
    """Return the accuracy of each way on the validation split of ``spec``."""
    pack = pack_for(spec, settings.size, settings.align, progress=False)
    rows = pack.select("validation")
    truth = labels_among(classes, pack)[rows]
    rows, truth = rows[truth >= 0], truth[truth >= 0]
    logits = predict_features(network, pack.faces, rows, torch.device("cpu"), source, bf16=False).logits
    ways = (torch.zeros_like(thresholds), thresholds, torch.full_like(thresholds, 0.9))
    return [100 * float(np.mean(select(logits, way).expression.numpy() == truth)) for way in ways]


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", required=True, help="the shifted faces that the runs were adapted to")
    arguments = parser.parse_args()
    print(HEADER)
    for run in arguments.runs:
        network, settings, classes = network_of(run)
        thresholds = torch.tensor(read_json(run / "model.json")["thresholds"])
        for spec, source in ((data_of(run)["source"], True), (arguments.data, False)):
            found = right(network, thresholds, spec, classes, settings, source)
            print(
                f"| {run.name} | {'source' if source else 'shifted'} | " + " | ".join(f"{x:.1f}" for x in found) + " |"
            )


if __name__ == "__main__":
    main()
