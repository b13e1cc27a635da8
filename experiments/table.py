"""Train the rows of a table over several seeds and write it: ``python experiments/table.py FILE.toml --out FOLDER``.

Rows that agree in seed and network share one source stage, unless their method has one of its own. What is done already
is not done again, so an interrupted table goes on with the same command. Figures are of the last checkpoint; target
labels are read for the score alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import tomllib
from pathlib import Path
from typing import Any

from dcdan.api import flat
from dcdan.benchmark.plan import merged
from dcdan.evaluation.evaluate import evaluate_pack
from dcdan.inference.recogniser import load
from dcdan.methods.base import find_method
from dcdan.metrics.intervals import wilson
from dcdan.packs.build import pack_for
from dcdan.training.run import train_run
from dcdan.training.settings import RunSettings, read_settings
from dcdan.training.source_stage import SOURCE_STAGE

SCORES = ("accuracy", "macro_f1", "uar", "ece")


def stage_name(settings: RunSettings) -> str:
    """Return a name for the source stage: the same for settings that lead to the same one."""
    parts = settings.model_dump(mode="json", include={"network", "source", "augment", "size", "seed", "pretrained"})
    parts["classification"] = settings.method_settings().classification.model_dump(mode="json")
    return f"source-{settings.seed}-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]}"


def run_cell(plan: dict[str, Any], row: dict[str, Any], seed: int, out: Path, quiet: bool) -> list[dict[str, Any]]:
    """Train one row at one seed, unless that is done, and return its scores on every test."""
    settings = read_settings(None, [], seed=seed, **flat(merged(plan["settings"], row.get("settings", {}))))
    shared = None if find_method(settings.method).owns_source_stage else out / stage_name(settings)
    if shared and not (shared / "model.json").exists() and not (shared / "checkpoints" / SOURCE_STAGE).exists():
        only = settings.model_copy(update={"method": "source_only", "options": {}})
        train_run(plan["source"], plan["target"], shared, only, quiet=quiet, command=plan["command"])
    cell = out / f"{row['key']}-{seed}"
    scored = cell / "scores.json"
    if not scored.exists():
        train_run(plan["source"], plan["target"], cell, settings, shared, quiet, plan["command"])
        recogniser = load(cell, align="none")
        scores = []
        for test in plan["tests"]:
            pack = pack_for(test["data"], recogniser.info.face.size, recogniser.info.face.align)
            report = evaluate_pack(recogniser, pack, data=test["data"], split=test.get("split"))
            scores.append({"test": test["name"], "seed": seed, "row": row["name"], **report.to_dict()})
        scored.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(scored.read_text(encoding="utf-8"))
    return found


def table(plan: dict[str, Any], scores: list[dict[str, Any]]) -> str:
    """Return the table in Markdown: mean over seeds, spread, and the Wilson interval of the pooled predictions."""
    lines = [f"# {plan['title']}", "", plan["caption"], "", "```sh", *plan["commands"], "```", ""]
    for test in plan["tests"]:
        lines += [f"## {test['name']}", ""]
        lines += ["| row | seeds | accuracy % | sd | 95 % interval | macro-F1 | UAR | ECE |", "|---" * 8 + "|"]
        for row in plan["rows"]:
            own = [s for s in scores if s["row"] == row["name"] and s["test"] == test["name"]]
            if not own:
                continue
            mean = {key: statistics.mean(s[key] for s in own) for key in SCORES}
            spread = f"{100 * statistics.stdev(s['accuracy'] for s in own):.1f}" if len(own) > 1 else "one seed"
            n = own[0]["images"]
            low, high = wilson(round(mean["accuracy"] * n), n)
            lines.append(
                f"| {row['name']} | {len(own)} | {100 * mean['accuracy']:.1f} | {spread} | "
                f"{100 * low:.1f} to {100 * high:.1f} | "
                + " | ".join(f"{mean[key]:.3f}" for key in ("macro_f1", "uar", "ece"))
                + " |"
            )
        images = next(s["images"] for s in scores if s["test"] == test["name"])
        lines += ["", f"{images} faces; the interval is that of the mean accuracy over so many faces.", ""]
    return "\n".join(lines)


def main() -> None:
    """Read the plan, run its cells, write ``table.md`` and a folder of ``run.json`` files beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--results", type=Path, help="folder for table.md and the run.json files (default: OUT)")
    parser.add_argument("--seeds", type=int, nargs="*", help="other seeds than the plan's")
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args()
    plan = tomllib.loads(os.path.expandvars(arguments.plan.read_text(encoding="utf-8")))
    plan["command"] = f"python experiments/table.py experiments/{arguments.plan.name}"
    results = arguments.results or arguments.out
    results.mkdir(parents=True, exist_ok=True)
    scores: list[dict[str, Any]] = []
    for seed in arguments.seeds or plan["seeds"]:
        for row in plan["rows"]:
            scores += run_cell(plan, row, seed, arguments.out, arguments.quiet)
            cell = f"{row['key']}-{seed}"
            for name in ("run.json", "scores.json"):
                if (arguments.out / cell / name).exists():
                    shutil.copy(arguments.out / cell / name, results / f"{cell}.{name}")
            (results / "table.md").write_text(table(plan, scores), encoding="utf-8")
            own = [s for s in scores if s["row"] == row["name"] and s["seed"] == seed]
            print(cell, *(f"{s['test']} {s['accuracy']:.3f}" for s in own), flush=True)


if __name__ == "__main__":
    main()
