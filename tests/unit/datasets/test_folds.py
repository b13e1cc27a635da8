"""Splits by rule: balanced, disjoint, and the same for ever."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dcdan.datasets.folds import fold_rule, hashed_percent, subject_folds


@given(st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=40), st.integers(1, 10))
def test_subjects_are_dealt_evenly_whatever_their_order(subjects: set[str], folds: int) -> None:
    dealt = subject_folds(sorted(subjects), folds)
    assert dealt == subject_folds(sorted(subjects, reverse=True) * 2, folds)
    assert dealt.keys() == subjects
    sizes = Counter(dealt.values())
    assert set(dealt.values()) <= set(range(folds))
    assert max(sizes.values()) - min(sizes.get(fold, 0) for fold in range(folds)) <= 1


def test_the_rules_never_change() -> None:
    # Worked out once by hand with sha256sum: a change would move people between the splits of users' packs.
    assert [hashed_percent(name) for name in ("a", "b")] == [99, 65]
    assert subject_folds(["KA", "KL", "KM", "KR"], 2) == {"KA": 0, "KL": 1, "KM": 0, "KR": 1}
    assert fold_rule(10, 3).startswith("subject-disjoint fold 3 of 10 is test")
