"""Praat (.TextGrid): an interval tier for each person, and one with the mean probability of each segment."""

from __future__ import annotations

from dcdan.annotation.timeline import Timeline


def praat(timeline: Timeline) -> dict[str, str]:
    """Return a timeline as a TextGrid in the long text format.

    The intervals of a tier fill the whole video; time without a face is an empty interval. Praat wants at least one
    tier: a video without a face has the empty tier ``no face``.

    Args:
        timeline: the segments of a video.

    Returns:
        ``{".TextGrid": text}``.
    """
    end = max([timeline.duration, timeline.step, *(each.end for each in timeline.segments)])
    tiers: list[tuple[str, list[tuple[float, float, str]]]] = []
    for person in timeline.people:
        own = timeline.of(person)
        names = [(each.start, each.end, timeline.classes[each.expression]) for each in own]
        tiers.append((f"person {person}", _filled(names, end)))
        sure = [(each.start, each.end, f"{each.probability:.3f}") for each in own]
        tiers.append((f"person {person} probability", _filled(sure, end)))
    if not tiers:
        tiers.append(("no face", [(0.0, end, "")]))
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers, 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
        lines += ["        xmin = 0", f"        xmax = {end:.6f}", f"        intervals: size = {len(intervals)}"]
        for place, (start, stop, text) in enumerate(intervals, 1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start:.6f}"]
            lines += [f"            xmax = {stop:.6f}", f"            text = {_quoted(text)}"]
    return {".TextGrid": "\n".join(lines) + "\n"}


def _filled(intervals: list[tuple[float, float, str]], end: float) -> list[tuple[float, float, str]]:
    """Return intervals with empty ones between them, from 0 to the end."""
    filled: list[tuple[float, float, str]] = []
    at = 0.0
    for start, stop, text in intervals:
        if start - at > 1e-6:
            filled.append((at, start, ""))
        filled.append((at if abs(start - at) <= 1e-6 else start, stop, text))
        at = stop
    if end - at > 1e-6:
        filled.append((at, end, ""))
    return filled


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
