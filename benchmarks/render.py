"""docs/benchmarks.md, written from the JSON of the benchmarks: no figure is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Result = dict[str, Any]
HEAD = """# Benchmarks

Written by `python benchmarks/run.py` from `benchmarks/results/*.json`; no figure here is typed by hand. `make bench`
runs the parts that need no data. Peak memory of prediction, detection and Ray need `--photos FOLDER`, packing needs
`--crops SPEC`; without them the last result of these parts stays.
Ratios are medians over rounds in which the contestants take turns in one process, so that other work on the machine
meets them alike; with one thread the processor's own time is counted. Times are the least of the rounds.
"""
STEP_NOTE = """
## One step of the adaptation

Time over that of the bare trunk's forward and backward pass on the same images. Each column adds to the one before:
*network* is the whole network with per-domain batch norm and all losses, backward included, AFC compiled
(`fuse_activation`); *update* clips, steps and moves the teacher's average; *views* makes weak and strong views from
bytes; *teacher* is the teacher's forward pass on a third set of views, half as many images again that the bare trunk
does not see. The bar is on *update*: what the method costs on the same images. Clipping, stepping and averaging cost
the same whatever the batch, so with fewer faces than the loop's 128 a step they weigh more here than in training.
"""
LATENCY_NOTE = """
Against EfficientNet-B0: our network does {ours:g} million multiply-adds for a face, EfficientNet-B0 {theirs:g}
million, {fewer:.2f} times as many; {ahead} times the speed is what the arithmetic gives. {trunk:g} million are the
trunk's, whose last map the method keeps at stride 16, since both attentions and the five regions need its places. At
MobileNet-V2's own stride of 32 the trunk would do {plain:g} million, and EfficientNet-B0 {then:.2f} times as many as
the whole: a bar of 4 asks for another network than this one.
"""


def mark(met: bool) -> str:
    """Return whether a bar is met."""
    return "yes" if met else "**no**"


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    names = list(head)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def summary(results: dict[str, Result]) -> Iterable[tuple[object, ...]]:
    """Yield the rows that have a bar, as far as there are results."""
    for found in (r for name, r in results.items() if name.startswith("step_time")):
        what = f"adaptation step over the bare trunk, {found['trunk']} at {found['size']}, {found['precision']}"
        yield what, found["ratios"]["update"], f"<= {found['bar']}", mark(found["within_bar"])
    if found := results.get("data_wait"):
        yield (
            "share of step time waiting for data",
            f"{found['wait_share']:.2%}",
            f"<= {found['bar']:.0%}",
            mark(found["within_bar"]),
        )
    if found := results.get("afc"):
        worst = max(row["compiled_ratio"] for row in found["rows"] if row["megabytes"] >= 1)
        yield (
            "AFC (compiled) over GELU, forward and backward, maps of 1 MiB and more",
            worst,
            f"<= {found['bar']}",
            mark(found["within_bar"]),
        )
    if found := results.get("onnx_latency"):
        bar = found["bar"]
        for name, most in bar["milliseconds"].items():
            precision, taken = "int8" if name.endswith("int8") else "fp32", found["milliseconds"][name]
            what = f"one {found['size']} face, {found['trunk']}, {precision} ONNX, {found['threads']} thread"
            yield what, f"{taken} ms", f"<= {most:g} ms", mark(taken <= most)
        yield (
            "the same in fp32 against EfficientNet-B0 at 224",
            f"{found['times_faster']} x",
            f">= {bar['times_faster']:g} x",
            mark(found["times_faster"] >= bar["times_faster"]),
        )
    if found := results.get("packing", {}).get("memory"):
        for workers, ratio in found["ratios"].items():
            counts = [row["pictures"] for row in found["rows"] if row["workers"] == int(workers)]
            what = f"peak memory of packing {max(counts)} pictures over that of {min(counts)}, {workers} at work"
            yield what, ratio, f"<= {found['bar']}", mark(ratio <= found["bar"])
    if found := results.get("predict_memory"):
        few, many = (f"{row['pictures']} ({row['peak_mb']} MB)" for row in found["rows"])
        yield (
            f"peak memory of predicting {many} pictures over that of {few}",
            found["ratio"],
            f"<= {found['bar']}",
            mark(found["within_bar"]),
        )
    if found := results.get("cold_predict"):
        what = "`dcdan predict` of one picture, cold" + ("" if found["torch_imported"] else " (torch not imported)")
        measured = f"{found['median_seconds']} s ({found['processor_seconds']} s of processor time)"
        yield what, measured, f"<= {found['bar_seconds']:g} s", mark(found["within_bar"])


def latency(found: Result) -> str:
    """Return how far ahead of EfficientNet-B0 the number of multiply-adds lets one expect the network to be."""
    count = found["millions_of_multiply_adds"]
    ours, theirs, trunk, plain = (count[name] for name in ("ours", "efficientnet_b0_224", "trunk", "trunk_stride_32"))
    return LATENCY_NOTE.format(
        ours=ours,
        theirs=theirs,
        trunk=trunk,
        plain=plain,
        fewer=theirs / ours,
        ahead=found["times_faster"],
        then=theirs / (ours - trunk + plain),
    )


def steps(results: dict[str, Result]) -> str:
    """Return the table of the adaptation step."""
    added = ("network", "update", "views", "teacher", "network_eager_afc")
    found = [result for name, result in results.items() if name.startswith("step_time")]
    rows = [
        [r["trunk"], r["size"], r["precision"], r["faces_per_step"], f"{r['milliseconds']['bare']:g}"]
        + [f"{r['ratios'][column]:.2f}" for column in added]
        for r in found
    ]
    return table(["trunk", "size", "precision", "faces", "bare ms", *added[:-1], "network, AFC eager"], rows)


def activations(found: Result) -> str:
    """Return the table of AFC against GELU."""
    rows = (
        (
            " x ".join(map(str, row["shape"])),
            row["megabytes"],
            row["milliseconds"]["gelu"],
            row["eager_ratio"],
            row["compiled_ratio"],
        )
        for row in found["rows"]
    )
    return table(("map", "MiB", "GELU ms", "AFC eager / GELU", "AFC compiled / GELU"), rows)


def recognisers(found: Result) -> str:
    """Return the table of the models of the package beside others."""
    names = list(dict.fromkeys(name for row in found["rows"].values() for name in row))
    head = ("", *("MiB" if name == "megabytes" else name for name in names))
    return table(head, ([name, *(row[column] for column in names)] for name, row in found["rows"].items()))


def videos(found: Result) -> str:
    """Return the table of a video's parts."""
    parts = ("reading", "detection", "recognition", "following")
    known = {"min_side": "faces from pixels", "search": "searched every s", "faces_a_frame": "faces a frame"}
    known["over_length"] = "time over length"
    rows = ((*map(row.get, known), *map(row["milliseconds_a_frame"].get, parts)) for row in found["rows"])
    return table((*known.values(), *(f"{part}, ms a frame" for part in parts)), rows)


def others(results: dict[str, Result]) -> str:
    """Return what detection and packing gave."""
    lines = []
    if found := results.get("processes"):
        one, two = found["step_seconds"].values()
        lines.append(
            f"- Two processes train {found['speed_up']} times as fast as one ({found['trunk']} at {found['size']}, "
            f"{found['faces_per_step']} faces a step in all: {two} s a step against {one} s), one thread each."
        )
    if found := results.get("detection"):
        ours = found["ours"]
        against = ""
        if "times_reference" in found:
            # The reference may use more than the one thread that it was given: its rate alone would mislead.
            theirs = found["reference"]
            used = theirs["pictures_per_second"] * theirs["cpu_ms_per_picture"] / 1000
            less = theirs["cpu_ms_per_picture"] / ours["cpu_ms_per_picture"]
            against = (
                f"; the reference code takes {less:.2f} times the processor time, at {theirs['pictures_per_second']} "
                f"pictures a second on {used:.2f} cores"
            )
        lines.append(
            f"- Detection of {found['pictures']} photographs, {found['threads']} thread: "
            f"{ours['pictures_per_second']} pictures a second "
            f"({ours['cpu_ms_per_picture']} ms of processor time each), "
            f"found in {ours['found']:.1%}{against}."
        )
    if found := results.get("packing"):
        lines += [
            f"- Packing {row['faces']} crops at {found['size']}, align={row['align']}, {found['workers']} workers: "
            f"{row['seconds']} s, {row['faces_per_second']} faces a second"
            + (f", {row['faces_per_second_and_core']} for each core." if "faces_per_second_and_core" in row else ".")
            for row in found["packing"]
        ]
        lines += [
            f"- Peak memory of packing {row['pictures']} pictures of one folder at 48, align=none, "
            f"{row['workers']} worker{'s' * (row['workers'] > 1)}: {row['peak_mb']} MB"
            + (f", largest worker {row['largest_worker_mb']} MB." if row["largest_worker_mb"] else ".")
            for row in found.get("memory", {}).get("rows", ())
        ]
    if found := results.get("cluster"):
        for job in ("predict", "pack"):
            ratios, spread = found[job]["ratios_of_rates"], found[job]["spread"]
            one, all_ = (f"{ratios[way]} ({spread[way][0]} to {spread[way][1]})" for way in ratios)
            lines.append(
                f"- `dcdan {job} --ray local` on {found['pictures']} photographs: {one} times the rate of one process "
                f"with one piece of work at a time, {all_} times with one for each of {found['cores']} cores; one "
                f"process does {found[job]['pictures_per_second_and_core']} pictures in a second of a core's time."
            )
    return "\n".join(lines) + "\n" if lines else ""


def machines(results: dict[str, Result]) -> str:
    """Return what the results were measured on, each machine once."""
    seen: dict[str, list[str]] = {}
    for name, result in results.items():
        m = result["machine"]
        versions = ", ".join(f"{package} {number}" for package, number in m["versions"].items())
        text = (
            f"{m['processor']} (family/model {m['family_model']}), {m['cores']} cores, {', '.join(m['units'])}; "
            f"Python {m['python']}, {versions}; {result['date']}"
        )
        seen.setdefault(text, []).append(f"{name} (load {m['load']})")
    return "".join(f"- {text}: {', '.join(names)}\n" for text, names in seen.items())


def write_page(folder: Path, page: Path) -> None:
    """Write the page from the results in a folder."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    parts = [HEAD, "\n", table(("what", "measured", "bar", "met"), summary(results))]
    if "onnx_latency" in results:
        parts.append(latency(results["onnx_latency"]))
    parts += [STEP_NOTE, "\n", steps(results)]
    if "afc" in results:
        parts += ["\n## AFC against GELU\n\n", activations(results["afc"])]
    if "recognisers" in results:
        parts += ["\n## Recognising faces that are cut\n\n", recognisers(results["recognisers"])]
    if "video" in results:
        film = results["video"]
        parts += [f"\n## A video ({film['size']}, 25 frames a second, {film['threads']} thread)\n\n", videos(film)]
    if extra := others(results):
        parts += ["\n## Faces, packs and processes\n\n", extra]
    parts += [
        "\n## Machine\n\nA load above 0 means that other work ran at the same time; "
        "wall times (`dcdan predict`) are then too long.\n\n",
        machines(results),
    ]
    page.write_text("".join(parts), encoding="utf-8")
