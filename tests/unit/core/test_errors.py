"""Errors: their sentences and codes."""

from __future__ import annotations

import pytest

from dcdan.core import errors
from dcdan.core.errors import DcdanError, UsageError, nearest, unknown


def test_a_close_word_is_offered_and_a_far_one_is_not() -> None:
    assert nearest("mobilnetv2", ["resnet50", "mobilenetv2"]) == " Did you mean 'mobilenetv2'?"
    assert nearest("xyz", ["resnet50", "mobilenetv2"]) == ""
    assert nearest("", ["a"]) == ""
    assert nearest("adabn", iter(["dann", "adabn"])) == " Did you mean 'adabn'?"


def test_an_unknown_name_is_told_with_what_is_known() -> None:
    error = unknown("method", "dan", {"dcdan", "dann", "adabn"})
    assert isinstance(error, UsageError)
    assert str(error) == "Unknown method 'dan'. Did you mean 'dann'? Known: adabn, dann, dcdan."
    assert str(unknown("method", "zzz", ["b", "a"])) == "Unknown method 'zzz'. Known: a, b."


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("DcdanError", 1),
        ("UsageError", 2),
        ("DataError", 3),
        ("PackError", 4),
        ("ModelError", 5),
        ("OutputError", 6),
        ("TrainingError", 7),
        ("MissingExtraError", 8),
        ("ClusterError", 9),
    ],
)
def test_codes_are_the_documented_ones(name: str, code: int) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, DcdanError)
    assert kind("told").exit_code == code
