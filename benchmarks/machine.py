"""What a benchmark ran on, in words that a reader can compare."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("dcdan", "torch", "timm", "numpy", "onnxruntime", "opencv-python-headless", "pillow")
UNITS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def cpu_facts() -> dict[str, str]:
    """Return the first processor's fields from the kernel; empty where there are none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def installed(package: str) -> str:
    """Return a package's version, or 'not installed'."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def machine() -> dict[str, object]:
    """Return processor, cores, vector units, load and versions."""
    facts = cpu_facts()
    flags = set(facts.get("flags", "").split())
    return {
        "processor": facts.get("model name") or platform.processor() or platform.machine(),
        "family_model": f"{facts.get('cpu family', '?')}/{facts.get('model', '?')}",
        "cores": os.cpu_count(),
        "units": [unit for unit in UNITS if unit in flags],
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in PACKAGES},
    }
