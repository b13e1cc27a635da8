"""Training curves of one or several runs as one picture, from their ``log.jsonl``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from dcdan.core.limits import read_log

Record = dict[str, Any]

_NOT_LOSSES = frozenset({"kind", "step", "time", "lr", "rate", "wait"})
_NAMES = {
    "cls": "classification, source",
    "adv": "adversarial",
    "adv_g": "adversarial, global",
    "adv_l": "adversarial, local",
    "pl": "pseudo-labels, target",
    "entropy": "entropy of a face",
    "diversity": "entropy of the mean",
    "confidence": "confidence",
    "discriminator_global": "global",
    "discriminator_local": "local",
}
_COLOURS = ("#1d4e89", "#d1495b", "#e0a030", "#3a7d44", "#7b5ea7", "#5f6b76")
_CLASS_COLOURS = (*_COLOURS, "#c2689b", "#4aa3a2")
_STYLES = ("-", "--", ":", "-.")


def series(records: Sequence[Record], kind: str, name: str) -> tuple[list[float], list[Any]]:
    """Return one quantity over the steps of a log.

    Args:
        records: records of a log.
        kind: kind of the records, such as ``source-epoch``.
        name: name of the quantity.

    Returns:
        Steps and values, equally long. Records without the quantity are left out.

    Example:
        >>> series([{"kind": "source", "step": 10, "cls": 0.5}, {"kind": "counted", "step": 20}], "source", "cls")
        ([10], [0.5])
    """
    found = [(record["step"], record[name]) for record in records if record["kind"] == kind and name in record]
    return [step for step, _ in found], [value for _, value in found]


def losses_in(records: Sequence[Record], kind: str) -> list[str]:
    """Return the names of the losses in the records of a kind, in the order of the log.

    Args:
        records: records of a log.
        kind: kind of the records.

    Example:
        >>> losses_in([{"kind": "adaptation", "step": 1, "lr": 0.1, "cls": 0.5, "adv": 0.7}], "adaptation")
        ['cls', 'adv']
    """
    names = [name for record in records if record["kind"] == kind for name in record if name not in _NOT_LOSSES]
    return list(dict.fromkeys(names))


def curves_png(logs: Mapping[str, Path], *, columns: int = 2, classes: Sequence[str] = ()) -> bytes | None:
    """Draw losses, source validation, label-free signals, discriminators and pseudo-labels over the steps.

    Args:
        logs: name of a run -> its ``log.jsonl``. Of runs that share a source stage, one log may hold it for all.
        columns: number of panels side by side; 1 suits a phone.
        classes: names of the classes, for the panels that have a line for each class; their numbers when empty.

    Returns:
        The bytes of a PNG file; None when the logs hold nothing to draw.
    """
    runs = {name: read_log(path) for name, path in logs.items()}
    panels = [
        (title, draw)
        for title, kinds, draw in (
            ("Loss in the source stage", {"source"}, _source_losses),
            ("Losses in the adaptation", {"adaptation"}, _adaptation_losses),
            ("Accuracy on held-out source faces", {"source-epoch", "adaptation-epoch"}, _validation),
            ("Label-free signals on the target", {"adaptation-epoch"}, _signals),
            ("Share of pseudo-labels that count", {"counted"}, _counted),
            ("Accuracy of the discriminators", {"discriminator_global"}, _discriminators),
            ("Pseudo-label threshold of each class", {"thresholds"}, partial(_by_class, "thresholds", classes)),
            ("Share of each class's pseudo-labels that count", {"accepted"}, partial(_by_class, "accepted", classes)),
        )
        if any(record["kind"] in kinds or kinds & record.keys() for records in runs.values() for record in records)
    ]
    if not panels:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.9 * columns, 3.0 * rows), dpi=130, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # type: ignore[union-attr,call-arg]
    for place, (title, draw) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, place + 1)
        draw(axes, runs)
        axes.set_title(title, loc="left", fontsize=11, weight="bold")
        axes.set_xlabel("step", fontsize=9, color="#555555")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e8ebee")
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9, colors="#555555", length=0)
        if names := axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=8.5, frameon=False, ncols=2 if len(names) > 2 else 1)
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


Runs = Mapping[str, Sequence[Record]]


def _label(run: str, name: str, runs: Runs) -> str:
    return _NAMES.get(name, name) if len(runs) == 1 else f"{run}: {_NAMES.get(name, name)}"


def _lines(axes: Any, runs: Runs, kind: str, names: Callable[[Sequence[Record]], Sequence[str]]) -> None:
    """Draw some numbers of every run: a colour a number, a line style a run."""
    drawn = {run: records for run, records in runs.items() if any(r["kind"] == kind for r in records)}
    for style, (run, records) in zip(_STYLES * len(drawn), drawn.items(), strict=False):
        for colour, name in zip(_COLOURS * 3, names(records), strict=False):
            steps, values = series(records, kind, name)
            marker = "." if len(steps) < 3 else ""
            # Global and local losses often lie upon each other.
            line = "--" if style == "-" and name.endswith("_l") else style
            axes.plot(steps, values, line, color=colour, label=_label(run, name, drawn), marker=marker, linewidth=1.7)


def _source_losses(axes: Any, runs: Runs) -> None:
    _lines(axes, runs, "source", lambda records: losses_in(records, "source"))


def _adaptation_losses(axes: Any, runs: Runs) -> None:
    _lines(axes, runs, "adaptation", lambda records: losses_in(records, "adaptation"))
    _room_for_legend(axes)


def _room_for_legend(axes: Any) -> None:
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])


def _signals(axes: Any, runs: Runs) -> None:
    _lines(axes, runs, "adaptation-epoch", lambda _: ("entropy", "diversity", "confidence"))
    _room_for_legend(axes)
    axes.set_ylabel("nats, or probability", fontsize=9, color="#555555")


def _validation(axes: Any, runs: Runs) -> None:
    """Draw both stages on one line of steps, with a mark where the adaptation begins."""
    begin = max((r["step"] for records in runs.values() for r in records if r["kind"] == "source-epoch"), default=0)
    for colour, (run, records) in zip(_COLOURS * 3, runs.items(), strict=False):
        first, second = (series(records, f"{stage}-epoch", "source_validation") for stage in ("source", "adaptation"))
        steps = first[0] + [begin + step for step in second[0]]
        if steps:
            axes.plot(steps, first[1] + second[1], color=colour, label=run, marker=".", linewidth=1.7)
    if begin and any(record["kind"] == "adaptation-epoch" for records in runs.values() for record in records):
        axes.axvline(begin, color="#9aa5b1", linestyle=":", linewidth=1.2)
        axes.annotate(
            "adaptation",
            (begin, 0.03),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
            color="#5f6b76",
        )
    axes.set_ylim(0, 1.02)


def _counted(axes: Any, runs: Runs) -> None:
    for colour, (run, records) in zip(_COLOURS * 3, runs.items(), strict=False):
        steps, values = series(records, "adaptation-epoch", "counted")
        if not steps:
            continue
        name = "all classes" if len(runs) == 1 else run
        axes.plot(steps, values, color=colour, label=name, marker=".", linewidth=1.7)
        _, low = series(records, "adaptation-epoch", "threshold_min")
        _, high = series(records, "adaptation-epoch", "threshold_max")
        if len(low) == len(high) == len(steps):
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0, label="class thresholds")
    axes.set_ylim(0, 1.02)


def _discriminators(axes: Any, runs: Runs) -> None:
    """Draw how often the discriminators tell the domains apart, beside chance."""
    _lines(axes, runs, "adaptation-epoch", lambda records: _names_with("discriminator_", records))
    axes.axhline(0.5, color="#9aa5b1", linestyle=":", linewidth=1.2)
    axes.set_ylim(0.4, 1.12)
    axes.set_yticks([0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])


def _names_with(prefix: str, records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record if name.startswith(prefix)))


def _by_class(name: str, classes: Sequence[str], axes: Any, runs: Runs) -> None:
    """Draw a quantity with one number per class: a colour a class, a line style a run."""
    for style, records in zip(_STYLES * len(runs), runs.values(), strict=False):
        steps, lists = series(records, "adaptation-epoch", name)
        first = not axes.get_legend_handles_labels()[1]
        for number, values in enumerate(zip(*lists, strict=False)):
            label = (classes[number] if number < len(classes) else str(number)) if first else "_"
            colour = _CLASS_COLOURS[number % len(_CLASS_COLOURS)]
            axes.plot(steps, values, style, color=colour, label=label, marker=".", linewidth=1.5)
    axes.set_ylim(0, 1.35)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
