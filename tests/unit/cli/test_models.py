"""`dcdan models --complexity`."""

from __future__ import annotations

import json

import pytest

from dcdan.cli.main import run as dcdan


def test_complexity_prints_a_row_for_each_network(capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 19 point 5. The table has each trunk, size and ratio, and what condensation saves."""
    arguments = ["models", "--complexity", "--trunk", "mobilenetv2_050", "--size", "32"]
    assert dcdan(arguments) == 0
    told = capsys.readouterr()
    rows = [line for line in told.out.splitlines() if line.startswith("| mobilenetv2_050 | 32 |")]
    assert [row.split(" | ")[2] for row in rows] == ["1", "2", "4"]
    assert "3 networks" in told.err
    assert dcdan([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["condensation"] for entry in found] == [1, 2, 4]
    shares = [f"{entry['multiply_adds'] / 1e6:.1f}" for entry in found]
    assert [row.split(" | ")[4] for row in rows] == shares


def test_options_of_the_table_need_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["models", "--trunk", "resnet50"]) == 2
    assert "--complexity" in capsys.readouterr().err


def test_an_unknown_trunk_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["models", "--complexity", "--trunk", "resnet5000"]) == 2
    assert "resnet5000" in capsys.readouterr().err
