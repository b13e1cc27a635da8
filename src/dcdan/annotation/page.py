"""The summary of a video as one page of HTML: a plot over time, a table and the peaks of each person.

The page needs no script, no font and no other file. The plot is SVG, with the table of segments behind it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import PurePath

from dcdan.annotation.people import PersonSummary
from dcdan.annotation.timeline import Timeline
from dcdan.core.sanitize import inert

COLOURS = ("#e69f00", "#7b3294", "#4d9221", "#d6a400", "#2166ac", "#b2182b", "#9aa7b4", "#8c510a")
"""Colours of the expressions in the order of the classes; further ones start again."""
MOST_PEOPLE = 12
"""Number of people on the page; the JSON summary has all."""
_WIDTH, _HEIGHT = 900, 54

_STYLE = """
:root { color-scheme: light dark; --ink: #1d3557; --faint: #555; --line: #d9dde3; --back: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ecf5; --faint: #b3bcc9; --line: #39424f; --back: #14181e; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 0 auto;
  max-width: 60rem; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; border-top: 1px solid var(--line); padding-top: 1rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .15rem .8rem .15rem 0; }
td + td, th + th { text-align: right; }
svg { width: 100%; height: auto; } svg text { fill: var(--faint); font: 11px system-ui, sans-serif; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; list-style: none; }
.key span { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; }
.peaks { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none; }
.peaks img { display: block; width: 96px; height: 96px; border-radius: 4px; }
.wide { overflow-x: auto; } .faint { color: var(--faint); }
"""


def summary_page(timeline: Timeline, people: Sequence[PersonSummary]) -> str:
    """Return the summary of a video as a page.

    Args:
        timeline: the segments of the video.
        people: of :func:`~dcdan.annotation.people.summarise_people`.

    Returns:
        The text of an HTML file.
    """
    name = _text(PurePath(timeline.video).name or timeline.video)
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f"<title>{name}: expressions over time</title>",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{name}</h1>",
        f"<p>{_counts(timeline, people)}</p>",
    ]
    shown = people[:MOST_PEOPLE]
    if shown:
        used = [each for each in timeline.classes if any(each in person.shares for person in shown)]
        keys = "".join(f'<li><span style="background:{_colour(timeline, each)}"></span>{each}</li>' for each in used)
        parts.append(f'<ul class="key">{keys}</ul>')
    parts += [_section(timeline, each) for each in shown]
    parts.append(
        '<p class="faint">Expressions are what a face looks like, not what a person feels. A recogniser errs, and more'
        " often for some people than for others: look at the video before you rely on a segment.</p>\n</main>\n</body>"
        "\n</html>\n"
    )
    return "\n".join(parts)


def _counts(timeline: Timeline, people: Sequence[PersonSummary]) -> str:
    if not people:
        return f"{timeline.duration:.1f} seconds in which no face was found."
    some = "1 person" if len(people) == 1 else f"{len(people)} people"
    text = f"{timeline.duration:.1f} seconds, {some}."
    if len(people) > MOST_PEOPLE:
        text += f" Here are the {MOST_PEOPLE} who were seen longest."
    if timeline.short:
        text += f" Seen too shortly and left out: {timeline.short}."
    return text


def _section(timeline: Timeline, each: PersonSummary) -> str:
    longest = timeline.classes[each.longest.expression]
    rows = "".join(
        f"<tr><td>{name}</td><td>{100 * share:.0f} %</td><td>{each.onsets[name]:.1f} s</td></tr>"
        for name, share in each.shares.items()
    )
    segments = "".join(
        f"<tr><td>{timeline.classes[one.expression]}</td><td>{one.start:.2f}</td><td>{one.end:.2f}</td>"
        f"<td>{100 * one.probability:.0f} %</td></tr>"
        for one in timeline.of(each.person)
    )
    return (
        f"<section>\n<h2>Person {each.person}</h2>\n{_plot(timeline, each)}\n"
        f"<p>Seen for {each.seen:.1f} s, from {each.first:.1f} to {each.last:.1f} s. Longest segment: {longest},"
        f" {each.longest.length:.1f} s from {each.longest.start:.1f} s. {each.changes_per_minute:.1f} changes a"
        " minute.</p>\n"
        '<table><thead><tr><th scope="col">expression</th><th scope="col">share</th><th scope="col">first onset</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>\n{_peaks(each)}"
        '<details><summary>Segments</summary><div class="wide"><table><thead><tr><th scope="col">expression</th>'
        '<th scope="col">start, s</th><th scope="col">end, s</th><th scope="col">probability</th></tr></thead>'
        f"<tbody>{segments}</tbody></table></div></details>\n</section>"
    )


def _plot(timeline: Timeline, each: PersonSummary) -> str:
    """Return the segments of a person over the video; a bar is as high as its probability."""
    scale = _WIDTH / max(timeline.duration, 1e-9)
    bars = []
    for one in timeline.of(each.person):
        high = max(3.0, (_HEIGHT - 14) * one.probability)
        left, wide = one.start * scale, max(0.6, one.length * scale)
        name = timeline.classes[one.expression]
        bars.append(
            f'<rect x="{left:.2f}" y="{_HEIGHT - 14 - high:.1f}" width="{wide:.2f}"'
            f' height="{high:.1f}" fill="{_colour(timeline, name)}"><title>{name}, {one.start:.2f} to {one.end:.2f} s,'
            f" probability {one.probability:.2f}</title></rect>"
        )
    ticks = "".join(
        f'<text x="{_WIDTH * part / 4:.0f}" y="{_HEIGHT - 2}" text-anchor="{anchor}">'
        f"{timeline.duration * part / 4:.1f} s</text>"
        for part, anchor in zip(range(5), ("start", "middle", "middle", "middle", "end"), strict=True)
    )
    listed = ", ".join(f"{name} {100 * share:.0f} %" for name, share in each.shares.items())
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Expressions of person {each.person} over time:'
        f' {listed}">{"".join(bars)}{ticks}</svg>'
    )


def _peaks(each: PersonSummary) -> str:
    items = []
    for name, peak in each.peaks.items():
        if peak.picture:
            source = f"data:image/jpeg;base64,{b64encode(peak.picture).decode()}"
            about = f"Person {each.person} at {peak.time:.1f} s, {name}"
            items.append(
                f'<li><img alt="{about}" src="{source}"/>{name}<br/>{peak.time:.1f} s,'
                f" {100 * peak.probability:.0f} %</li>"
            )
    return f'<ul class="peaks">{"".join(items)}</ul>\n' if items else ""


def _colour(timeline: Timeline, name: str) -> str:
    return COLOURS[timeline.classes.index(name) % len(COLOURS)]


def _text(text: str) -> str:
    return escape(inert(text).encode("utf-8", "backslashreplace").decode())
