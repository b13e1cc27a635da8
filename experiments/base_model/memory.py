"""Write the source memory of a finished model: ``python experiments/base_model/memory.py MODEL PACK``.

MODEL is a folder that ``finish.py`` wrote, PACK labelled faces of its size that it was trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dcdan.packs.pack import Pack
from dcdan.training.source_memory import add_memory


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("pack", type=Path)
    given = parser.parse_args()
    memory = add_memory(given.model, Pack.open(given.pack))
    print(f"{len(memory.centres)} centres of {memory.counts.min()} faces or more")


if __name__ == "__main__":
    main()
