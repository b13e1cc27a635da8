"""Whether the network may be used: ``dcdan --offline`` or ``DCDAN_OFFLINE=1`` forbids it, to child processes too.

Only ImageNet weights of a trunk (``dcdan.models.trunk``) and pictures at URLs (``dcdan.images.discover``) are fetched.
"""

from __future__ import annotations

import os

VARIABLE = "DCDAN_OFFLINE"
FORBIDDEN = f"the network is forbidden here by --offline or {VARIABLE}"


def is_offline() -> bool:
    """Return whether the network is forbidden."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def go_offline() -> None:
    """Forbid the network, to the client of Hugging Face's hub as well."""
    os.environ[VARIABLE] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
