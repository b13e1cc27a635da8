"""ELAN (.eaf, format 3.0): a tier for each person, and one below it with the mean probability of each segment.

Schema: http://www.mpi.nl/tools/elan/EAFv3.0.xsd.
"""

from __future__ import annotations

import mimetypes
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from dcdan.annotation.timeline import Timeline
from dcdan.core.sanitize import encodable

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_CONSTRAINTS = {
    "Time_Subdivision": "Time subdivision of parent annotation's time interval, no time gaps allowed within this"
    " interval",
    "Symbolic_Subdivision": "Symbolic subdivision of a parent annotation. Annotations refering to the same parent are"
    " ordered",
    "Symbolic_Association": "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, gaps are allowed",
}


def elan(timeline: Timeline) -> dict[str, str]:
    """Return a timeline as an ELAN document.

    Args:
        timeline: the segments of a video.

    Returns:
        ``{".eaf": text}``.
    """
    root = Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "dcdan",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _XSI,
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    path = Path(timeline.video)
    SubElement(
        header,
        "MEDIA_DESCRIPTOR",
        {
            "MEDIA_URL": _clean(path.absolute().as_uri()),
            "MIME_TYPE": mimetypes.guess_type(path.name)[0] or "video/unknown",
            "RELATIVE_MEDIA_URL": _clean(f"./{path.name}"),
        },
    )
    last = SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    last.text = str(2 * len(timeline.segments))
    order = SubElement(root, "TIME_ORDER")
    slots: list[tuple[int, int, str]] = []
    number = 0
    for person in timeline.people:
        name = f"person {person}"
        tier = SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": "expression", "TIER_ID": name})
        below = Element(
            "TIER", {"LINGUISTIC_TYPE_REF": "probability", "PARENT_REF": name, "TIER_ID": f"{name} probability"}
        )
        for each in timeline.of(person):
            number += 1
            start = round(1000 * each.start)
            end = max(start + 1, round(1000 * each.end))
            refs = [f"ts{2 * number - 1}", f"ts{2 * number}"]
            slots += [(start, 2 * number - 1, refs[0]), (end, 2 * number, refs[1])]
            holder = SubElement(SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION")
            key = f"a{2 * number - 1}"
            holder.attrib |= {"ANNOTATION_ID": key, "TIME_SLOT_REF1": refs[0], "TIME_SLOT_REF2": refs[1]}
            SubElement(holder, "ANNOTATION_VALUE").text = timeline.classes[each.expression]
            holder = SubElement(SubElement(below, "ANNOTATION"), "REF_ANNOTATION")
            holder.attrib |= {"ANNOTATION_ID": f"a{2 * number}", "ANNOTATION_REF": key}
            SubElement(holder, "ANNOTATION_VALUE").text = f"{each.probability:.3f}"
        root.append(below)
    # ELAN expects the time slots in the order of time.
    for value, _, slot in sorted(slots):
        SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(value)})
    SubElement(
        root,
        "LINGUISTIC_TYPE",
        {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": "expression", "TIME_ALIGNABLE": "true"},
    )
    SubElement(
        root,
        "LINGUISTIC_TYPE",
        {
            "CONSTRAINTS": "Symbolic_Association",
            "GRAPHIC_REFERENCES": "false",
            "LINGUISTIC_TYPE_ID": "probability",
            "TIME_ALIGNABLE": "false",
        },
    )
    for name, about in _CONSTRAINTS.items():
        SubElement(root, "CONSTRAINT", {"DESCRIPTION": about, "STEREOTYPE": name})
    indent(root)
    return {".eaf": '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"}


def _clean(text: str) -> str:
    # XML has no control characters, not even as references.
    return "".join(letter for letter in encodable(text) if letter >= " ")
