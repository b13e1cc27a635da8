"""The rules: what they find in the paper, in a paper without slips, and in one with a slip planted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from dcdan.paper import published
from dcdan.paper.inconsistencies import RULES, Finding, find_inconsistencies, prints_as
from dcdan.paper.published import OURS, TABLES, PaperRow, PaperTable
from dcdan.paper.recomputed import means_of, table_summaries, trunk_comparisons

FOUND = find_inconsistencies(TABLES)


def of(rule: str, findings: tuple[Finding, ...] = FOUND) -> list[Finding]:
    return [finding for finding in findings if finding.rule == rule]


def test_everything_that_is_known_is_found() -> None:
    assert Counter(finding.rule for finding in FOUND) == {
        "mean-of-what": 1,
        "printed-mean": 3,
        "gain": 1,
        "swapped-trunks": 2,
        "anova-of-pairs": 1,
        "significance": 1,
        "too-few-targets": 1,
        "closest-competitor": 2,
        "prose-figures": 1,
        "abstract": 1,
        "repeated-figure": 3,
        "one-baseline-two-results": 2,
        "ablation": 2,
        "categories": 1,
        "implausible": 5,
    }
    assert len({finding.rule for finding in FOUND}) == len(RULES)


def test_printed_means_and_the_gain_are_off() -> None:
    assert {(f.tables, f.printed, f"{f.recomputed:.3f}") for f in of("printed-mean")} == {
        ((4,), 68.75, "68.448"),
        ((4,), 43.75, "43.458"),
        ((4,), 48.25, "48.013"),
    }
    (gain,) = of("gain")
    assert (gain.printed, f"{gain.recomputed:.2f}") == (19.7, "19.38")
    assert "+19.7 over DGL; the figures give +19.38" in gain.sentence


def test_statistics_are_given_to_the_wrong_trunks() -> None:
    by_table = {finding.tables: finding.sentence for finding in of("swapped-trunks")}
    assert "79.37 / 8.98 / [68.22, 90.51] to MobileNet-V2" in by_table[1,]
    assert "69.93 / 13.03 / [53.75, 86.11] to ResNet-50" in by_table[2,]


def test_anova_is_of_pairs() -> None:
    (finding,) = of("anova-of-pairs")
    assert finding.tables == (1, 2)
    assert "F(1,8) = 1.778, p = 0.219" in finding.sentence
    assert "t(4) = 3.085, p = 0.037, the trunks differ." in finding.sentence


def test_one_best_baseline_is_not_beaten_significantly_on_four_targets() -> None:
    (finding,) = of("significance")
    assert (finding.tables, f"{finding.recomputed:.3f}") == ((2,), "0.076")
    assert "SCN" in finding.sentence
    assert "t(3) = 2.670" in finding.sentence
    assert [f"{f.recomputed:.4f}" for f in of("too-few-targets")] == ["0.0625"]


def test_prose_and_abstract_differ_from_the_tables() -> None:
    (prose,) = of("prose-figures")
    assert prose.tables == (1,)
    for said in ("AffectNet 74.13 (82.13)", "ExpW 75.37 (78.37)", "SFEW 2.0 61.47 (72.47)", "JAFFE 65.68 (70.68)"):
        assert said in prose.sentence
    assert "mean 69.16 (75.91); its mean is that of its own figures." in prose.sentence
    assert "RAF-DB" not in prose.sentence
    (abstract,) = of("abstract")
    assert abstract.sentence == "The abstract gives FERPlus 92.35, table 3 92.37."


def test_what_is_missing_or_not_to_be_expected() -> None:
    assert [(f.printed, f.recomputed) for f in of("ablation")] == [(-9.3, None), (-7.5, None)]
    assert all("without source, target, trunk, unit" in f.sentence for f in of("ablation"))
    assert [(f.printed, f.recomputed) for f in of("categories")] == [(8, 7)]
    above = [(f.tables, f.printed) for f in of("implausible")]
    assert above == [((1,), 93.18), ((1,), 82.13), ((3,), 92.37), ((3,), 73.89), ((4,), 70.53)]


def clean_row(method: str, backbone: str, start: float, spread: tuple[float, ...]) -> PaperRow:
    row = PaperRow(method, backbone, tuple(start + value for value in spread), 0.0)
    return replace(row, mean=means_of(row)[0])


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> tuple[PaperTable, ...]:
    """Two tables without slips over seven targets, their printed means of all of these, and claims that are theirs."""
    targets = ("RAF-DB", "AffectNet", "ExpW", "SFEW 2.0", "JAFFE", "CK+", "Oulu")
    spread = (0.0, 0.31, 0.12, 0.53, 0.24, 0.45, 0.06)
    tables = tuple(
        PaperTable(
            number,
            "FERPlus",
            trunk,
            targets,
            (
                clean_row("SCN", trunk, 40.0 + number, spread),
                clean_row("RAN", trunk, 30.0 + number, spread[::-1]),
                clean_row(OURS, trunk, 50.0 + 2 * number, tuple(1.1 * value for value in spread)),
            ),
        )
        for number, trunk in ((1, "ResNet-50"), (2, "MobileNet-V2"))
    )
    own = table_summaries(tables)
    monkeypatch.setattr(
        published, "SPREADS", [published.ProseSpread(one.trunk, *(round(x, 2) for x in one.summary[1:])) for one in own]
    )
    monkeypatch.setattr(published, "ANOVA", published.ProseAnova(-1.0, -1.0))
    monkeypatch.setattr(published, "GAINS", ())
    monkeypatch.setattr(published, "ABLATIONS", (published.ProseAblation("x", 1.0, "a", "b", "c", "points"),))
    monkeypatch.setattr(published, "CONFUSIONS", (published.ConfusionFigure(1, "RAF-DB", 7),))
    monkeypatch.setattr(published, "ABSTRACT", (("RAF-DB", tables[0].ours.figures[0]),))
    monkeypatch.setattr(
        published, "PROSE", [published.ProseFigures(one.number, one.ours.figures, one.ours.mean) for one in tables]
    )
    return tables


def test_a_paper_without_slips_gives_none_but_that_its_means_are_of_all(clean: tuple[PaperTable, ...]) -> None:
    findings = [finding for finding in find_inconsistencies(clean) if finding.rule != "printed-mean"]
    assert findings == []


def test_planted_slips_are_found(clean: tuple[PaperTable, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = published.SPREADS
    swapped = [replace(one, trunk=two.trunk), replace(two, trunk=one.trunk)]
    monkeypatch.setattr(published, "SPREADS", swapped)
    monkeypatch.setattr(published, "GAINS", (published.ProseGain(1, "SCN", 3.0, 1),))
    pair = trunk_comparisons(clean)[0]
    monkeypatch.setattr(published, "ANOVA", published.ProseAnova(round(pair.anova.f, 2), round(pair.anova.p_value, 3)))
    monkeypatch.setattr(published, "ABSTRACT", (("RAF-DB", 99.0),))
    found = Counter(finding.rule for finding in find_inconsistencies(clean))
    assert {"swapped-trunks": 2, "gain": 1, "anova-of-pairs": 1, "abstract": 1}.items() <= found.items()


@pytest.mark.parametrize(
    ("value", "printed", "same"), [(1.005, 1.0, True), (1.005, 1.01, True), (1.0051, 1.0, False), (0.9949, 1.0, False)]
)
def test_a_value_prints_as_what_it_rounds_to(value: float, printed: float, same: bool) -> None:
    assert prints_as(value, printed, 2) is same
