"""Network policy: ``dcdan --offline`` or ``DCDAN_OFFLINE=1`` forbids network access, also in child processes.

The network is used only for ImageNet weights (``dcdan.models.trunk``), inputs at URLs (``dcdan.images.remote``),
network streams and models of the Hugging Face hub.
"""

from __future__ import annotations

import os

VARIABLE = "DCDAN_OFFLINE"
FORBIDDEN = f"the network is forbidden here by --offline or {VARIABLE}"


def is_offline() -> bool:
    """Return whether network access is forbidden."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def go_offline() -> None:
    """Forbid network access for this process and its children, including the Hugging Face client."""
    os.environ[VARIABLE] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
