"""Random numbers of faces: the published generator, its distributions, and that they belong to the face."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstest

from dcdan.corruptions.keyed_random import bits, face_keys, normals, uniforms

PATHS = [f"train/{index}.png" for index in range(40)]


def test_words_are_those_of_splitmix64() -> None:
    # The first words of the authors' code for the seed 0.
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert bits(np.zeros(1, np.uint64), 3)[0].tolist() == expected


def test_keys_belong_to_the_face() -> None:
    keys = face_keys(PATHS, [0] * 40, 0, "noise")
    assert face_keys(PATHS[7:9], [0, 0], 0, "noise").tolist() == keys[7:9].tolist()
    others = [
        face_keys(PATHS, [1] * 40, 0, "noise"),
        face_keys(PATHS, [0] * 40, 1, "noise"),
        face_keys(PATHS, [0] * 40, 0, "pose"),
    ]
    assert len({key for some in (keys, *others) for key in some.tolist()}) == 160
    assert face_keys(["é\\xff.png"], [0], 0, "noise").shape == (1,)
    assert face_keys([], [], 0, "noise").shape == (0,)


def test_draws_do_not_depend_on_how_many_there_are() -> None:
    keys = face_keys(PATHS, [0] * 40, 0, "noise")
    assert np.array_equal(normals(keys, (5, 7))[3], normals(keys[3:4], (5, 7))[0])
    assert np.array_equal(uniforms(keys, 5), uniforms(keys, 9)[:, :5])


def test_normals_are_normal_and_uniforms_uniform() -> None:
    keys = face_keys(PATHS, [0] * 40, 3, "noise")
    drawn = normals(keys, (30, 33))
    assert drawn.shape == (40, 30, 33)
    assert drawn.dtype == np.float32
    assert kstest(drawn.ravel(), "norm").pvalue > 0.01
    assert kstest(uniforms(keys, 500).ravel(), "uniform").pvalue > 0.01
    assert abs(drawn).max() < 4.4
    near = np.corrcoef(np.stack([drawn[:, :-1, :-1].ravel(), drawn[:, 1:, :-1].ravel(), drawn[:, :-1, 1:].ravel()]))
    assert abs(near - np.eye(3)).max() < 0.02
    between = np.corrcoef(drawn.reshape(40, -1)) - np.eye(40)
    assert abs(between).max() < 0.15
