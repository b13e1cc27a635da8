"""A correction in model.json changes what a recogniser answers, by group where the folder says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dcdan.correction.output import OutputCorrection
from dcdan.expressions import EXPRESSIONS
from dcdan.inference.corrected import group_of
from dcdan.inference.model_card import read_model_info, write_model_info
from dcdan.inference.recogniser import load
from tiny_model import coloured, write_run


def test_the_recogniser_applies_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for folder in ("anna", "ben"):
        (tmp_path / folder).mkdir()
        Image.fromarray(coloured(3)).save(tmp_path / folder / "a.png")
    pictures = [tmp_path / folder / "a.png" for folder in ("anna", "ben")]
    before = [found[0] for found in load(run, threads=1).recognise(list(pictures))]
    bias = np.zeros(8)
    bias[5] = 40.0
    correction = OutputCorrection.of(EXPRESSIONS, bias, {"anna": bias})
    write_model_info(run, read_model_info(run).model_copy(update={"correction": correction}))
    after = load(run, threads=1)
    anna, ben = [found[0] for found in after.recognise(list(pictures))]
    assert before[0].expression == anna.expression == EXPRESSIONS[3]
    assert ben.expression == EXPRESSIONS[5]
    assert ben.probability == max(ben.probabilities.values())
    np.testing.assert_allclose(list(anna.probabilities.values()), list(before[0].probabilities.values()), atol=1e-6)
    faces = np.stack([coloured(3, 32)])
    assert after.recognise_faces(faces).expression.tolist() == [5]


def test_the_longest_known_folder_is_the_group() -> None:
    assert group_of("set/anna/day 1/a.jpg", {"anna", "anna/day 1"}) == "anna/day 1"
    assert group_of("set/anna/day 2/a.jpg", {"anna", "anna/day 1"}) == "anna"
    assert group_of("anna.jpg", {"anna"}) == ""
