"""Measure which maps show what a model uses, and publish the raw values.

    python experiments/explain/faithfulness.py MODEL --pack packs/ferplus96 --faces 1000 \
        --out docs/results/explain

The same measure is ``dcdan explain --check`` on faces of one's own. Maps from inside the network need torch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from cells import MAP, replace_rows

from dcdan.explanation.explainer import MAPS, load_explainer
from dcdan.explanation.faithfulness import Areas, measure, scores
from dcdan.packs.pack import Pack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pack", type=Path, required=True, help="FERPlus in the size of the model's faces")
    parser.add_argument("--faces", type=int, default=1000, help="faces of the test split, drawn by lot")
    parser.add_argument("--maps", nargs="+", default=list(MAPS), choices=MAPS)
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder of the published results; its cells.parquet is written")
    options = parser.parse_args()

    pack = Pack.open(options.pack)
    rows = pack.select("test")
    rows = np.sort(np.random.default_rng(0).choice(rows, min(options.faces, len(rows)), replace=False))
    explainer = load_explainer(
        options.model, maps=options.maps, threads=options.threads, align="none", precision=options.precision
    )

    def keep(name: str, areas: Areas) -> None:
        print(name, *(round(float(part.mean()), 4) for part in areas[name]), flush=True)
        if options.out is not None:
            first, second = (np.stack([part[n] for part in areas.values()], 1) for n in (0, 1))
            replace_rows(options.out, MAP, list(areas), first, second)

    areas = measure(explainer, np.asarray(pack.faces[rows]), progress=keep)
    for name, score in scores(areas).items():
        print(f"{name:22} deletion {score.deletion:.4f} insertion {score.insertion:.4f} {score.p_values}")


if __name__ == "__main__":
    main()
