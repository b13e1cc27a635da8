"""Static HTML pages from templates. Pictures are embedded, so that a page is one file that can be mailed or moved."""

from __future__ import annotations

import base64
from typing import Any

from dcdan.core.sanitize import inert

RESPONSIBLE_USE: tuple[str, ...] = (
    "The model names apparent expressions: what a face looks like. It does not know what a person feels.",
    "In the European Union, inferring emotions at work and in education is forbidden except for medical or safety "
    "reasons (AI Act, Art. 5(1)(f), since 2 February 2025), and people must be told when such a system looks at them "
    "(Art. 50(3)). Use only faces of people who know and agree.",
    "Accuracy differs between groups of people. Measure it on yours, with labels of your own: dcdan evaluate.",
    "Do not score employees, pupils or applicants with it.",
)


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Return a file as a data URI (RFC 2397), base64.

    Args:
        content: bytes of the file.
        kind: its media type.

    Example:
        >>> data_uri(b"abc", "text/plain")
        'data:text/plain;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def percent(share: float, digits: int = 0) -> str:
    """Return a share as text in per cent. A small one becomes "< 1 %" instead of "0 %".

    Args:
        share: 0..1.
        digits: number of decimals.

    Example:
        >>> percent(0.5), percent(0.123, 1), percent(0.002), percent(0.0)
        ('50 %', '12.3 %', '< 1 %', '0 %')
    """
    if not digits and 0 < share < 0.005:
        return "< 1 %"
    return f"{100 * share:.{digits}f} %"


def _shown(value: Any) -> Any:
    # Names of files and data sets; macros and filters that made HTML have escaped their text already.
    return inert(value) if type(value) is str else value


def render(template: str, **values: Any) -> str:
    """Fill in one of the templates of the package.

    Args:
        template: file name of the template.
        values: its variables. All text in them is escaped.

    Returns:
        The page as HTML.

    Raises:
        jinja2.UndefinedError: when a variable of the template is missing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("dcdan.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["percent"] = percent
    pages.filters["data_uri"] = data_uri
    return pages.get_template(template).render(responsible_use=RESPONSIBLE_USE, **values)
