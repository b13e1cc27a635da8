"""The formats of annotation programs, one a file: a timeline in, texts by file suffix out."""

from __future__ import annotations

from collections.abc import Callable

from dcdan.annotation.formats.bids import bids
from dcdan.annotation.formats.elan import elan
from dcdan.annotation.formats.praat import praat
from dcdan.annotation.formats.srt import srt
from dcdan.annotation.timeline import Timeline

FORMATS: dict[str, Callable[[Timeline], dict[str, str]]] = {"elan": elan, "praat": praat, "bids": bids, "srt": srt}
"""Name of a format -> function that returns the text of each file by the end of its name."""
