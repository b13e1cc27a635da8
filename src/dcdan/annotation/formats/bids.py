"""BIDS task events: ``*_events.tsv`` with a row for each segment, and the ``*_events.json`` that describes its columns.

Rules: Brain Imaging Data Structure 1.10, "Task events" and "Tabular files".
"""

from __future__ import annotations

import json

from dcdan.annotation.timeline import Timeline

COLUMNS = ("onset", "duration", "trial_type", "person", "probability")


def bids(timeline: Timeline) -> dict[str, str]:
    """Return a timeline as task events, in the order of their onsets.

    Args:
        timeline: the segments of a video.

    Returns:
        ``{"_events.tsv": text, "_events.json": text}``.
    """
    rows = ["\t".join(COLUMNS)]
    for each in sorted(timeline.segments, key=lambda each: (each.start, each.person)):
        cells = (f"{each.start:.3f}", f"{each.length:.3f}", timeline.classes[each.expression], str(each.person))
        rows.append("\t".join((*cells, f"{each.probability:.3f}")))
    levels = {name: f"apparent expression: {name}" for name in timeline.classes}
    about = {
        "onset": {"Description": "Start of the segment, from the first frame of the video", "Units": "s"},
        "duration": {"Description": "Length of the segment", "Units": "s"},
        "trial_type": {
            "LongName": "Expression",
            "Description": "Likeliest expression of the face, recognised by dcdan",
            "Levels": levels,
        },
        "person": {"Description": "Number of the person's track in the video, from 1"},
        "probability": {"Description": "Mean calibrated probability of the expression, 0 to 1"},
    }
    return {"_events.tsv": "\n".join(rows) + "\n", "_events.json": json.dumps(about, indent=2) + "\n"}
