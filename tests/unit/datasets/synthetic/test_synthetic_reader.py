"""The reader: the same face for the same index whoever asks, balanced classes, people in one split only."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from dcdan.core.errors import DcdanError, UsageError
from dcdan.datasets.reader import Sample
from dcdan.datasets.registry import readers
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.datasets.synthetic.reader import SyntheticReader
from dcdan.expressions import EXPRESSIONS


def opened(text: str) -> SyntheticReader:
    reader = open_reader(parse_spec(text))
    assert isinstance(reader, SyntheticReader)
    return reader


def test_it_is_registered_and_opens_by_spec() -> None:
    assert readers()["synthetic"] is SyntheticReader
    reader = opened("synthetic:street?n=5&size=48&classes=8")
    assert reader.classes == EXPRESSIONS
    assert reader.cropped
    assert opened("synthetic:studio").classes == EXPRESSIONS[:7]
    assert (opened("synthetic:studio").channels, reader.channels) == (1, 3)


@pytest.mark.parametrize("domain", ["studio", "street"])
def test_a_face_does_not_depend_on_how_many_are_drawn_or_in_which_order(domain: str) -> None:
    few, many = opened(f"synthetic:{domain}?n=12&size=48&seed=5"), opened(f"synthetic:{domain}?n=40&size=48&seed=5")
    first, second = list(few.samples()), list(many.samples())
    assert second[:12] == first
    pictures = [few.load(sample) for sample in first]
    for index in (11, 3, 7):
        assert np.array_equal(many.load(second[index]), pictures[index])


def test_another_seed_or_domain_draws_other_faces() -> None:
    readers_ = [opened(f"synthetic:{spec}&n=4&size=48") for spec in ("studio?seed=0", "studio?seed=1", "street?seed=0")]
    pictures = [reader.load(next(reader.samples())) for reader in readers_]
    subjects = {next(reader.samples()).subject for reader in readers_}
    assert len(subjects) == 3
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_landmarks_are_in_pixels_of_the_picture_and_scale_with_it() -> None:
    small, large = (list(opened(f"synthetic:street?n=20&size={size}").samples()) for size in (48, 96))
    for low, high in zip(small, large, strict=True):
        assert low.landmarks is not None
        assert high.landmarks is not None
        assert np.allclose(np.array(low.landmarks) * 2, np.array(high.landmarks), atol=1e-3)
        assert 0 < np.min(low.landmarks) < np.max(low.landmarks) < 48


@pytest.mark.parametrize("classes", [7, 8])
def test_classes_are_even_and_every_person_shows_each_once(classes: int) -> None:
    shown: dict[str, list[int]] = defaultdict(list)
    for sample in opened(f"synthetic:studio?n={classes * 30}&classes={classes}").samples():
        shown[sample.subject].append(sample.label)
    assert len(shown) == 30
    assert all(sorted(labels) == list(range(classes)) for labels in shown.values())
    assert len({tuple(labels) for labels in shown.values()}) > 20


def test_uneven_classes_are_uneven_and_all_there() -> None:
    counts = Counter(sample.label for sample in opened("synthetic:street?n=600&balance=uneven&classes=8").samples())
    assert set(counts) == set(range(8))
    assert counts[EXPRESSIONS.index("happiness")] > 3 * counts[EXPRESSIONS.index("fear")]


def test_splits_have_their_shares_and_share_nobody() -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for sample in opened("synthetic:street?n=1400&seed=3").samples():
        splits[sample.split].add(sample.subject)
    sizes = {name: len(people) / 200 for name, people in splits.items()}
    assert sizes == pytest.approx({"train": 0.65, "validation": 0.1, "test": 0.25}, abs=0.015)
    assert sum(len(people) for people in splits.values()) == len(set.union(*splits.values()))


def test_split_and_limit_select() -> None:
    whole = list(opened("synthetic:studio?n=200").samples())
    chosen = list(opened("synthetic:studio?n=200&split=test&limit=10").selected())
    assert len(chosen) == 10
    assert all(sample in whole and sample.split == "test" for sample in chosen)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("synthetic:", "need a domain"),
        ("synthetic:studo", "Did you mean 'studio'"),
        ("synthetic:studio?sise=64", "Did you mean 'size'"),
        ("synthetic:studio?n=0", "n=0"),
        ("synthetic:studio?classes=6", "classes=6"),
        ("synthetic:studio?seed=-1", "seed=-1"),
        ("synthetic:street?size=8", "size=8"),
        ("synthetic:street?balance=odd", "balance=odd"),
        ("synthetic:street?test_share=0.95", "nothing to train on"),
    ],
)
def test_wrong_specs_end_in_one_sentence(spec: str, says: str) -> None:
    with pytest.raises(DcdanError) as caught:
        opened(spec)
    assert isinstance(caught.value, UsageError)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sample_is_all_that_load_needs() -> None:
    reader = SyntheticReader(Path("studio"), SyntheticReader.Options(size=48))
    sample = list(opened("synthetic:studio?n=9&size=48").samples())[8]
    assert np.array_equal(reader.load(Sample(path=sample.path)), opened("synthetic:studio?n=9&size=48").load(sample))
