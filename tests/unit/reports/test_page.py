"""Pages: what is written into them is escaped, and pictures travel inside."""

from __future__ import annotations

import base64

import pytest
from jinja2 import UndefinedError

from dcdan.reports.page import RESPONSIBLE_USE, data_uri, percent, render


def test_pictures_come_back_out_of_their_uri() -> None:
    content = bytes(range(256))
    head, _, body = data_uri(content).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == content


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.0, 0, "0 %"),
        (0.004, 0, "< 1 %"),
        (0.004, 1, "0.4 %"),
        (0.005, 0, "0 %"),
        (0.666, 0, "67 %"),
        (1.0, 0, "100 %"),
    ],
)
def test_percentages(share: float, digits: int, text: str) -> None:
    assert percent(share, digits) == text


def test_a_missing_value_is_an_error_and_no_gap() -> None:
    with pytest.raises(UndefinedError):
        render("run.html.j2")


def test_every_page_says_how_to_use_it_responsibly() -> None:
    page = render("base.html.j2")
    assert "apparent expressions" in page
    for article in ("5(1)(f)", "50(3)"):
        assert article in page
    assert len(RESPONSIBLE_USE) == page.count("<li>")
