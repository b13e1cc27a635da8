"""Is a calibrated probability right, and what does a shift do to it: ``python experiments/calibration.py --help``.

Temperatures come from the source's validation faces: plain; by importance weights (CPCS); and by matching the mean
confidence on the target to the accuracy that ATC predicts there, as a run that sees its target takes it. Compared by
the calibration error on labelled test faces that no temperature has seen, beside the error at the temperature that
would be best there. Known shifts are of the source's own faces, with AdaBN's statistics estimated on shifted training
faces; adapted runs are tested on the target that they were adapted to.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from dcdan.corruptions.shifts import Shift, shifted
from dcdan.evaluation.evaluate import labels_among
from dcdan.inference.model_card import read_model_info
from dcdan.metrics.calibration import expected_calibration_error, fit_temperature, matched_temperature, tempered
from dcdan.models.domain_norm import start_target_from_source
from dcdan.models.network import Network
from dcdan.packs.build import pack_for
from dcdan.packs.pack import Pack
from dcdan.training.calibration import calibrated, chosen_probabilities
from dcdan.training.forward import Features, estimate_statistics, predict_features
from dcdan.training.model_selection.scores import density_weights
from dcdan.training.pretrained import network_of

SHIFTS = ("blur", "lowlight", "noise")
SEVERITY = 3
STATISTICS, COMPARED, TEST = 3000, 2000, 1500
CPU = torch.device("cpu")
HEAD = (
    "| model | test | accuracy % | error, T = 1 | plain (T) | weighted (T) | effective | ATC (T) | best (T) |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def some(rows: np.ndarray, count: int) -> np.ndarray:
    """Return at most so many of the rows, ascending, the same each time."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:count])


def faces_of(pack: Pack, rows: np.ndarray, kind: str = "") -> np.ndarray:
    """Return the faces of some rows, under a known shift where one is named."""
    faces = np.asarray(pack.faces[rows])
    if not kind:
        return faces
    shift = Shift(kind=kind, severity=SEVERITY)
    return shifted(faces, shift, pack.paths[rows].tolist(), pack.face_numbers[rows].tolist())


def seen(network: Network, faces: np.ndarray, source: bool) -> Features:
    """Return what a network says of all of some faces."""
    return predict_features(network, faces, np.arange(len(faces)), CPU, source, False)


def joined(features: Features) -> torch.Tensor:
    """Return both branches' features side by side."""
    return torch.cat([features.of_global, features.of_local], 1)


def effective_share(weights: np.ndarray) -> float:
    """Return the effective sample size of importance weights (Kish, 1965) over their number, 0..1."""
    return float(weights.sum() ** 2 / ((weights**2).sum() * len(weights)))


def row(
    name: str,
    test_name: str,
    thresholds: torch.Tensor,
    held_out: tuple[Features, np.ndarray],
    test: tuple[Features, np.ndarray],
    learned: Features | None = None,
    target: Features | None = None,
) -> str:
    """Return a line of the table."""
    p, labels = chosen_probabilities(held_out[0], thresholds), held_out[1]
    q, truth = chosen_probabilities(test[0], thresholds), test[1]
    right = q.argmax(1) == truth

    def cell(temperature: float) -> str:
        return f"{expected_calibration_error(tempered(q, temperature).max(1), right):.3f} ({temperature:.2f})"

    cells = [name, test_name, f"{100 * right.mean():.1f}", f"{expected_calibration_error(q.max(1), right):.3f}"]
    cells.append(cell(fit_temperature(p, labels)))
    if learned is None or target is None:
        cells += ["", "", ""]
    else:
        weights = density_weights(joined(learned), joined(held_out[0]), joined(target)).numpy()
        t = chosen_probabilities(target, thresholds)
        cells += [cell(fit_temperature(p, labels, weights)), f"{effective_share(weights):.2f}"]
        cells += [cell(matched_temperature(p, p.argmax(1) == labels, t)[0])]
    cells.append(cell(fit_temperature(q, truth)))
    return "| " + " | ".join(cells) + " |"


def promises(
    name: str, thresholds: torch.Tensor, held_out: tuple[Features, np.ndarray], test: tuple[Features, np.ndarray]
) -> str:
    """Return what the bar of unsure and the conformal sets hold on a test, in words."""
    found = calibrated(chosen_probabilities(held_out[0], thresholds), held_out[1], 0.9)
    q = tempered(chosen_probabilities(test[0], thresholds), found.temperature)
    sure = q.max(1) >= found.unsure_below
    right = q.argmax(1) == test[1]
    sets = []
    for level, threshold in (found.conformal or {}).items():
        inside = q >= threshold
        inside[np.arange(len(q)), q.argmax(1)] = True
        covered = inside[np.arange(len(q)), test[1]].mean()
        sets.append(f"{level}: {covered:.3f} with {inside.sum(1).mean():.2f} classes")
    return (
        f"{name}: unsure below {found.unsure_below:.3f}, {100 * (1 - sure.mean()):.1f} % of the faces; of the others "
        f"{100 * right[sure].mean():.1f} % right, of all {100 * right.mean():.1f} %. Sets: {', '.join(sets)}."
    )


def main() -> None:
    """Print the table in Markdown, and what is promised beside what holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="pack that the runs learned from")
    parser.add_argument("--run", type=Path, required=True, help="source-only run")
    parser.add_argument("--target", help="labelled pack of the adapted runs' target")
    parser.add_argument("--adapted", type=Path, nargs="*", default=[], help="runs adapted to the target")
    parser.add_argument("--halves", action="store_true", help="judge by half of the validation faces: for choosing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network, settings, classes = network_of(arguments.run)
    source = pack_for(arguments.source, settings.size, settings.align)
    labels = labels_among(classes, source)
    train, test = some(source.select("train"), COMPARED), some(source.select("test"), 10**9)
    held = source.select("validation")
    if arguments.halves:
        mixed = np.random.default_rng(0).permutation(held)
        held, test = np.sort(mixed[::2]), np.sort(mixed[1::2])
    print(HEAD)
    words = []
    nought = torch.zeros(len(classes))
    learned = seen(network, faces_of(source, train), True)
    held_out = seen(network, faces_of(source, held), True), labels[held]
    plain = seen(network, faces_of(source, test), False), labels[test]
    print(row("source-only", "source", nought, held_out, plain), flush=True)
    words.append(promises("source-only on its own test", nought, held_out, plain))
    few = some(test, TEST)
    for kind in SHIFTS:
        start_target_from_source(network)
        said = seen(network, faces_of(source, few, kind), False), labels[few]
        print(row("source-only", kind, nought, held_out, said), flush=True)
        words.append(promises(f"source-only under {kind}", nought, held_out, said))
        drawn = faces_of(source, some(source.select("train"), STATISTICS), kind)
        estimate_statistics(network, drawn, np.arange(len(drawn)), CPU)
        said = seen(network, faces_of(source, few, kind), False), labels[few]
        unlabelled = seen(network, drawn[:COMPARED], False)
        print(row("AdaBN", kind, nought, held_out, said, learned, unlabelled), flush=True)
        words.append(promises(f"AdaBN under {kind}", nought, held_out, said))
    for run in arguments.adapted:
        network, settings, classes = network_of(run)
        thresholds = torch.tensor(read_model_info(run).thresholds)
        target = pack_for(arguments.target, settings.size, settings.align)
        rows = target.select("test")
        learned = seen(network, faces_of(source, train), True)
        held_out = seen(network, faces_of(source, held), True), labels[held]
        said = seen(network, faces_of(target, rows), False), labels_among(classes, target)[rows]
        unlabelled = seen(network, faces_of(target, some(target.select("train"), COMPARED)), False)
        print(row(run.name, "target", thresholds, held_out, said, learned, unlabelled), flush=True)
        words.append(promises(f"{run.name} on its target", thresholds, held_out, said))
    print("\n" + "\n".join(words))


if __name__ == "__main__":
    main()
