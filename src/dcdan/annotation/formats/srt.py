"""SubRip subtitles (.srt): a cue for each segment, with person, expression and mean probability."""

from __future__ import annotations

from dcdan.annotation.timeline import Timeline


def srt(timeline: Timeline) -> dict[str, str]:
    """Return a timeline as subtitles, in the order of their starts.

    Args:
        timeline: the segments of a video.

    Returns:
        ``{".srt": text}``; an empty text for a video without a face.

    Example:
        >>> from dcdan.annotation.timeline import Segment
        >>> one = Timeline("a.mp4", ("fear",), 2.0, 0.04, (Segment(1, 0.5, 2.0, 0, 0.834),))
        >>> print(srt(one)[".srt"])
        1
        00:00:00,500 --> 00:00:02,000
        person 1: fear (83 %)
        <BLANKLINE>
    """
    ordered = sorted(timeline.segments, key=lambda each: (each.start, each.person))
    cues = [
        f"{number}\n{_clock(each.start)} --> {_clock(each.end)}\n"
        f"person {each.person}: {timeline.classes[each.expression]} ({100 * each.probability:.0f} %)\n"
        for number, each in enumerate(ordered, 1)
    ]
    return {".srt": "\n".join(cues)}


def _clock(seconds: float) -> str:
    whole, milliseconds = divmod(round(1000 * seconds), 1000)
    minutes, second = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02},{milliseconds:03}"
