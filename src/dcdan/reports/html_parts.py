"""Parts of a page that need no template engine: tables, bars, intervals, a reliability diagram, faces. HTML as text."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from dcdan.core.sanitize import inert
from dcdan.reports.page import data_uri, percent


def escaped(text: str) -> str:
    """Return text for HTML, also within quotation marks, without characters that change the writing direction.

    Args:
        text: any text.

    Example:
        >>> escaped('<b>"x"')
        '&lt;b&gt;&quot;x&quot;'
    """
    return html.escape(inert(text))


def points(gain: float) -> str:
    """Return a difference of accuracies in points.

    Args:
        gain: 0.01 is one point.

    Example:
        >>> points(0.034), points(-0.2)
        ('+3.4', '-20.0')
    """
    return f"{100 * gain:+.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, plain: bool = False) -> str:
    """Return a table that scrolls sideways by itself where the window is narrow.

    Args:
        head: names of the columns; all empty for none.
        rows: cells as HTML.
        plain: without a heading; the first cell of a row is its name.

    Example:
        >>> table(["a"], [["1"]])
        '<div class="scroll"><table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table></div>'
    """
    first = "" if plain else "<thead><tr>" + "".join(f"<th>{escaped(name)}</th>" for name in head) + "</tr></thead>"
    kind = ' class="settings"' if plain else ""
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{cell}</th>' if plain and number == 0 else f"<td>{cell}</td>"
            for number, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table{kind}>{first}<tbody>{body}</tbody></table></div>'


def key_of(names: Mapping[str, str]) -> str:
    """Return a key of colours.

    Args:
        names: class of a colour -> its name.

    Example:
        >>> key_of({"before": "before"})
        '<p class="key" aria-hidden="true"><span><i class="before"></i>before</span></p>'
    """
    inside = "".join(f'<span><i class="{colour}"></i>{escaped(name)}</span>' for colour, name in names.items())
    return f'<p class="key" aria-hidden="true">{inside}</p>'


def bars(rows: Sequence[tuple[str, tuple[float, float]]]) -> str:
    """Return pairs of bars, before and now.

    Args:
        rows: name and two shares, 0..1.

    Example:
        >>> "width:50.0%" in bars([("anger", (0.25, 0.5))])
        True
    """
    most = max((value for _, pair in rows for value in pair), default=0.0) or 1.0
    lines = []
    for name, (before, after) in rows:
        both = "".join(
            f'<div class="line {colour}" style="width:{100 * value / most:.1f}%"></div>'
            for colour, value in (("before", before), ("after", after))
        )
        said = f"{escaped(name)}: {percent(before)} before, {percent(after)} now"
        lines.append(
            f'<div class="name">{escaped(name)}</div><div class="lines" role="img" aria-label="{said}">{both}</div>'
            f'<div class="value">{percent(before)} → {percent(after)}</div>'
        )
    return f'<div class="bars">{"".join(lines)}</div>'


def interval_bar(value: float, low: float, high: float) -> str:
    """Return a value with its interval on a line from 0 to 100 %.

    Args:
        value: 0..1.
        low: lower end.
        high: upper end.

    Example:
        >>> "left:40.0%;width:20.0%" in interval_bar(0.5, 0.4, 0.6)
        True
    """
    said = f"{percent(value)}, between {percent(low)} and {percent(high)}"
    return (
        f'<div class="interval" role="img" aria-label="{said}">'
        f'<i class="span" style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i>'
        f'<i class="dot" style="left:{100 * value:.1f}%"></i></div>'
    )


def reliability_svg(before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]]) -> str:
    """Return a reliability diagram of a few bins as SVG.

    Args:
        before: mean confidence and share of right answers of each bin, 0..1.
        after: likewise.

    Example:
        >>> reliability_svg([(0.5, 0.25)], []).count("<circle")
        1
    """

    def dots(found: Sequence[tuple[float, float]], colour: str, shape: str) -> str:
        marks = []
        for x, y in found:
            at = 30 + 260 * x, 270 - 260 * y
            if shape == "circle":
                marks.append(f'<circle class="{colour}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="6"/>')
            else:
                marks.append(f'<rect class="{colour}" x="{at[0] - 5:.1f}" y="{at[1] - 5:.1f}" width="10" height="10"/>')
        return "".join(marks)

    ticks = "".join(
        f'<text x="{30 + 260 * v}" y="286" text-anchor="middle">{percent(v)}</text>'
        f'<text x="26" y="{274 - 260 * v}" text-anchor="end">{100 * v:.0f}</text>'
        for v in (0.0, 0.5, 1.0)
    )
    said = "; ".join(
        f"{name}: " + ", ".join(f"{percent(x)} sure, {percent(y)} right" for x, y in found)
        for name, found in (("before", before), ("now", after))
    )
    return (
        f'<svg class="plot" viewBox="0 0 320 310" role="img" aria-label="Confidence against truth. {said}">'
        '<path class="frame" d="M30 10V270H290"/><path class="even" d="M30 270L290 10"/>'
        f"{ticks}<text x='160' y='305' text-anchor='middle'>mean confidence (across), right in % (up)</text>"
        f"{dots(before, 'before', 'circle')}{dots(after, 'after', 'rect')}</svg>"
    )


Card = tuple[bytes, str, tuple[str, float], tuple[str, float], str]


def face_cards(cards: Sequence[Card]) -> str:
    """Return faces with the answer before and now.

    Args:
        cards: JPEG (empty where the picture is gone), name, both answers with their probability, a label or nothing.

    Example:
        >>> "picture is gone" in face_cards([(b"", "a.jpg", ("anger", 0.6), ("fear", 0.7), "")])
        True
    """
    found = []
    for code, name, before, after, label in cards:
        said = f"{escaped(name)}: {escaped(before[0])} before, {escaped(after[0])} now"
        picture = (
            f'<img src="{data_uri(code, "image/jpeg")}" alt="{said}">'
            if code
            else '<div class="gone">the picture is gone</div>'
        )
        lines = "".join(
            f'<span><i class="{colour}"></i>{escaped(answer)} <b>{percent(probability)}</b></span>'
            for colour, (answer, probability) in (("before", before), ("after", after))
        )
        named = f"<span>labelled {escaped(label)}</span>" if label else ""
        short = escaped(name.rsplit("/", 1)[-1])
        place = f'<small title="{escaped(name)}">{short}</small>'
        found.append(f"<figure>{picture}<figcaption>{lines}{named}{place}</figcaption></figure>")
    return f'<div class="faces">{"".join(found)}</div>'
