"""Store the weights of a finished run in half precision: ``python experiments/base_model/shrink.py RUN OUT NAME``.

OUT holds the graphs and the weights of RUN; ONNX Runtime and PyTorch compute in single precision as before.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from finish import halve
from safetensors.torch import load_file, save_file

from dcdan.core.atomic_io import sha256
from dcdan.inference.model_card import GRAPH_NAME, INT8_NAME, WEIGHTS_NAME, read_model_info, write_model_info


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    given = parser.parse_args()
    info = read_model_info(given.run)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in (GRAPH_NAME, INT8_NAME, "run.json"):
        shutil.copyfile(given.run / name, given.out / name)
    halve(given.out / GRAPH_NAME)
    weights = load_file(given.run / WEIGHTS_NAME)
    save_file(
        {name: value.half().contiguous() if value.is_floating_point() else value for name, value in weights.items()},
        given.out / WEIGHTS_NAME,
    )
    files = {name: sha256(given.out / name) for name in (GRAPH_NAME, INT8_NAME, WEIGHTS_NAME)}
    write_model_info(given.out, info.model_copy(update={"name": given.name, "files": files}))


if __name__ == "__main__":
    main()
