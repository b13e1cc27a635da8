"""What domain statistics do when only the balance of classes differs: ``python experiments/balance.py RUN PACK``.

RUN is a source-only run on FERPlus, PACK the pack that it learned from. Targets are made of FERPlus's own faces, whose
labels are ours to use: as they are or under a known shift, with FERPlus's balance or with that of press photographs
(half neutral, two fifths happy). Compared are the source's statistics, AdaBN's, and AdaBN's from faces that are drawn
so that the classes which the source model sees have the source's shares (``sampling = "target-as-source"``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from dcdan.metrics.classification import accuracy, confusion_matrix, unweighted_average_recall
from dcdan.models.domain_norm import start_target_from_source
from dcdan.models.network import Network
from dcdan.packs.build import pack_for
from dcdan.packs.pack import Pack
from dcdan.training.batches import aligned_weights
from dcdan.training.forward import estimate_statistics, predict_features
from dcdan.training.pretrained import network_of

PRESS = {"neutral": 0.5, "happiness": 0.4, "surprise": 0.03, "sadness": 0.03, "anger": 0.02, "disgust": 0.015}
SHIFTS = ("", "shift=lowlight&severity=3", "shift=blur&severity=3")
TARGET, TEST = 4000, 2000
CPU = torch.device("cpu")


def drawn(pack: Pack, split: str, shares: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return about ``count`` rows of a split with the classes' ``shares`` ``(K,)``."""
    rows = pack.select(split)
    labels = pack.labels[rows]
    own = [rows[labels == c] for c in range(len(shares))]
    parts = [rng.choice(part, round(share * count), replace=True) for part, share in zip(own, shares, strict=True)]
    return np.concatenate(parts)


def scores(network: Network, pack: Pack, rows: np.ndarray) -> str:
    """Return accuracy and mean recall of the fused head, as text."""
    answers = predict_features(network, pack.faces, rows, CPU, source=False, bf16=False).logits.fused.argmax(1).numpy()
    counts = confusion_matrix(pack.labels[rows], answers, len(pack.classes))
    return f"{100 * accuracy(counts):.1f} / {unweighted_average_recall(counts):.3f}"


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("pack")
    arguments = parser.parse_args()
    network, settings, classes = network_of(arguments.run)
    press = np.array([PRESS.get(name, 0.0) for name in classes])
    rng = np.random.default_rng(0)
    print("| target | balance | source's statistics | AdaBN | AdaBN, aligned draw |\n|---|---|---|---|---|")
    for shift in SHIFTS:
        pack = pack_for(f"{arguments.pack}?{shift}" if shift else arguments.pack, settings.size, settings.align)
        prior = np.bincount(pack.labels[pack.select("train")], minlength=len(classes)).astype(float)
        for name, shares in (("FERPlus's", prior / prior.sum()), ("press", press / press.sum())):
            target = drawn(pack, "train", shares, TARGET, rng)
            test = drawn(pack, "validation", shares, TEST, rng)
            start_target_from_source(network)
            seen = (
                predict_features(network, pack.faces, target, CPU, source=False, bf16=False)
                .logits.fused.softmax(1)
                .numpy()
            )
            cells = [scores(network, pack, test)]
            for weights in (None, aligned_weights(seen, prior)):
                start_target_from_source(network)
                estimate_statistics(network, pack.faces, target, CPU, weights)
                cells.append(scores(network, pack, test))
            print(f"| {shift or 'FERPlus itself'} | {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
