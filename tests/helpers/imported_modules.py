"""Which packages a command imports, seen in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("torch", "torchvision", "timm", "pyarrow", "matplotlib", "scipy", "sklearn", "pandas")


def imported_by(arguments: list[str]) -> tuple[int, set[str]]:
    """Run the program in a process of its own; return its exit code and the packages that it imported."""
    code = (
        "import json, sys\n"
        "from dcdan.cli.main import run\n"
        "code = run(json.loads(sys.argv[1]))\n"
        "print('\\n' + json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)], capture_output=True, text=True, check=True
    )
    exit_code, names = json.loads(done.stdout.splitlines()[-1])
    return exit_code, set(names)
