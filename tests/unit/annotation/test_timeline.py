"""Segments, people and pages from known probabilities."""

from __future__ import annotations

import itertools
import json
import xml.dom.minidom
from pathlib import Path

import numpy as np
import pytest

from dcdan.annotation.formats import FORMATS
from dcdan.annotation.formats.bids import COLUMNS
from dcdan.annotation.page import summary_page
from dcdan.annotation.people import Peak, people_dict, seconds_by_part, summarise_people
from dcdan.annotation.timeline import FrameCollector, Segment, Timeline, segments
from dcdan.images.status import Status
from dcdan.inference.table import FaceResult

CLASSES = ("neutral", "fear", "anger")
TWO = Timeline(
    "Gespräch <b>.mp4",
    CLASSES,
    10.0,
    0.1,
    (
        Segment(1, 0.0, 2.0, 0, 0.9),
        Segment(1, 2.0, 3.5, 1, 0.6),
        Segment(1, 6.0, 9.0, 0, 0.8),
        Segment(4, 1.0, 4.0, 2, 0.5),
    ),
    short=2,
)


def frames(text: str, sure: float = 0.8) -> np.ndarray:
    p = np.full((len(text), 3), (1 - sure) / 2)
    p[np.arange(len(text)), ["nfa".index(letter) for letter in text]] = sure
    return p


def found(text: str, minimum: float, times: np.ndarray | None = None) -> list[tuple[float, float, str]]:
    at = np.arange(len(text)) / 10 if times is None else times
    return [
        (round(each.start, 2), round(each.end, 2), "nfa"[each.expression])
        for each in segments(at, frames(text), 1, 0.1, minimum)
    ]


def test_a_segment_is_a_run_of_one_expression() -> None:
    assert found("nnnffa", 0) == [(0.0, 0.3, "n"), (0.3, 0.5, "f"), (0.5, 0.6, "a")]
    assert found("n", 0) == [(0.0, 0.1, "n")]
    assert segments(np.zeros(0), np.zeros((0, 3)), 1, 0.1) == []


def test_short_segments_join_their_longer_neighbour() -> None:
    assert found("nnnnfnnn", 0.25) == [(0.0, 0.8, "n")]
    assert found("nnnfaaaaa", 0.25) == [(0.0, 0.3, "n"), (0.3, 0.9, "a")]
    assert found("nnnfffaaa", 0.3) == [(0.0, 0.3, "n"), (0.3, 0.6, "f"), (0.6, 0.9, "a")]
    assert found("nfnfnf", 1.0) == []
    merged = segments(np.arange(8) / 10, frames("nnnnfnnn"), 1, 0.1, 0.25)
    assert merged[0].probability == pytest.approx((7 * 0.8 + 0.1) / 8)


def test_a_long_gap_ends_a_segment_and_a_short_one_does_not() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.6, 0.7, 1.4, 1.5, 1.6])
    assert found("nnnnnnnn", 0.25, times) == [(0.0, 0.8, "n"), (1.4, 1.7, "n")]
    assert found("nnnnnfff", 0.25, times) == [(0.0, 0.8, "n"), (1.4, 1.7, "f")]
    # A short segment alone between two gaps has no neighbour to join.
    assert found("nnnnnfnnn", 0.25, np.array([0.0, 0.1, 0.2, 0.3, 0.4, 1.4, 2.4, 2.5, 2.6])) == [
        (0.0, 0.5, "n"),
        (2.4, 2.7, "n"),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_segments_are_long_enough_apart_and_lose_no_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    text = "".join(rng.choice(list("nfa"), 300))
    own = segments(np.arange(300) / 10, frames(text), 1, 0.1, 0.5)
    assert all(each.length >= 0.5 - 1e-9 for each in own)
    assert all(after.start == before.end for before, after in itertools.pairwise(own))
    assert all(after.expression != before.expression for before, after in itertools.pairwise(own))
    assert (own[0].start, own[-1].end) == (0.0, pytest.approx(30.0))


def test_rows_become_a_timeline_by_person() -> None:
    collector = FrameCollector("a.mp4", CLASSES)
    for number in range(10):
        time = number / 5
        rows = [
            FaceResult(
                "a.mp4", 0, Status.OK, "fear", 0.8, probabilities=dict(zip(CLASSES, frames("f")[0], strict=True)),
                time=time, track=track,
            )
            for track in ([3] if number < 9 else [3, 5])
        ]  # fmt: skip
        collector.add(rows)
    collector.add([FaceResult("a.mp4", None, Status.NO_FACE, time=2.0)])
    timeline = collector.timeline(0.3)
    assert timeline.people == (3,)
    assert timeline.short == 1
    assert timeline.duration == pytest.approx(2.2)
    assert [(each.start, round(each.end, 3), each.expression) for each in timeline.segments] == [(0.0, 2.0, 1)]
    assert FrameCollector("b.mp4", CLASSES).timeline().segments == ()


def test_the_summary_of_a_person_is_counted_by_hand() -> None:
    one, other = summarise_people(TWO, {(1, "fear"): Peak(2.5, 0.9, b"jpeg"), (1, "anger"): Peak(1, 1)})
    assert (one.person, other.person) == (1, 4)
    assert one.seen == pytest.approx(6.5)
    assert one.shares == {"neutral": pytest.approx(5 / 6.5), "fear": pytest.approx(1.5 / 6.5)}
    assert list(one.onsets.items()) == [("neutral", 0.0), ("fear", 2.0)]
    assert one.longest.start == 6.0
    assert one.changes_per_minute == pytest.approx(60 / 6.5)  # the change across the gap does not count
    assert list(one.peaks) == ["fear"]
    assert one.over_time.sum(axis=0).tolist() == pytest.approx([5.0, 1.5, 0.0])
    assert one.over_time[3].tolist() == pytest.approx([0.0, 0.5, 0.0])
    assert seconds_by_part([Segment(1, 0.5, 1.5, 1, 1.0)], 2.0, 2, 2).tolist() == [[0.0, 0.5], [0.0, 0.5]]
    content = json.loads(json.dumps(people_dict(TWO, [one, other])))
    assert content["left_out_people"] == 2
    assert content["people"][0]["longest_segment"] == {
        "expression": "neutral",
        "start": 6.0,
        "end": 9.0,
        "probability": 0.8,
    }


def test_the_page_is_whole_and_escapes_names() -> None:
    page = summary_page(TWO, summarise_people(TWO, {(1, "fear"): Peak(2.5, 0.9, b"jpeg")}))
    xml.dom.minidom.parseString(page.replace("<!doctype html>", "").replace('<meta charset="utf-8">', "").replace(
        '<meta name="viewport" content="width=device-width, initial-scale=1">', ""))  # fmt: skip
    assert "<b>" not in page
    assert "Gespräch &lt;b&gt;.mp4" in page
    assert page.count("<section>") == 2
    assert "data:image/jpeg;base64,anBlZw==" in page
    assert "http" not in page
    assert "<script" not in page
    assert "Seen too shortly and left out: 2." in page
    assert "no face was found" in summary_page(Timeline("a", CLASSES, 3.0, 0.1, ()), [])


def test_elan_is_read_by_pympi(tmp_path: Path) -> None:
    elan = pytest.importorskip("pympi.Elan")
    path = tmp_path / "a.eaf"
    path.write_text(FORMATS["elan"](TWO)[".eaf"], encoding="utf-8")
    read = elan.Eaf(str(path))
    assert sorted(read.get_tier_names()) == ["person 1", "person 1 probability", "person 4", "person 4 probability"]
    own = sorted(read.get_annotation_data_for_tier("person 1"))
    assert own == [(0, 2000, "neutral"), (2000, 3500, "fear"), (6000, 9000, "neutral")]
    sure = sorted(read.get_ref_annotation_data_for_tier("person 1 probability"))
    assert [each[2] for each in sure] == ["0.900", "0.600", "0.800"]
    assert read.media_descriptors[0]["RELATIVE_MEDIA_URL"] == "./Gespräch <b>.mp4"
    path.write_text(FORMATS["elan"](Timeline("a\x01.mp4", CLASSES, 1.0, 0.1, ()))[".eaf"], encoding="utf-8")
    assert list(elan.Eaf(str(path)).get_tier_names()) == []


def test_praat_is_read_by_praat_and_tgt(tmp_path: Path) -> None:
    tgt, parselmouth = pytest.importorskip("tgt"), pytest.importorskip("parselmouth")
    path = tmp_path / "a.TextGrid"
    path.write_text(FORMATS["praat"](TWO)[".TextGrid"], encoding="utf-8")
    read = tgt.io.read_textgrid(str(path))
    assert read.get_tier_names() == ["person 1", "person 1 probability", "person 4", "person 4 probability"]
    own = [(each.start_time, each.end_time, each.text) for each in read.get_tier_by_name("person 1").annotations]
    assert own == [(0.0, 2.0, "neutral"), (2.0, 3.5, "fear"), (6.0, 9.0, "neutral")]
    grid = parselmouth.read(str(path))
    assert parselmouth.praat.call(grid, "Get number of tiers") == 4
    assert parselmouth.praat.call(grid, "Get number of intervals", 1) == 5
    assert parselmouth.praat.call(grid, "Get total duration") == 10.0
    path.write_text(FORMATS["praat"](Timeline("a", CLASSES, 1.0, 0.1, ()))[".TextGrid"], encoding="utf-8")
    assert parselmouth.praat.call(parselmouth.read(str(path)), "Get number of tiers") == 1


def test_bids_follows_its_written_rules() -> None:
    files = FORMATS["bids"](TWO)
    header, *rows = [line.split("\t") for line in files["_events.tsv"].splitlines()]
    assert header[:3] == ["onset", "duration", "trial_type"]  # onset and duration are required, in this order
    assert tuple(header) == COLUMNS
    assert all(len(row) == len(header) for row in rows)
    assert all("" not in row for row in rows)
    onsets = [float(row[0]) for row in rows]
    assert onsets == sorted(onsets)
    assert all(float(row[1]) >= 0 for row in rows)
    assert rows[1] == ["1.000", "3.000", "anger", "4", "0.500"]
    about = json.loads(files["_events.json"])
    assert list(about) == header
    assert {row[2] for row in rows} <= set(about["trial_type"]["Levels"])


def test_srt_numbers_cues_in_the_order_of_time() -> None:
    cues = FORMATS["srt"](TWO)[".srt"].split("\n\n")
    assert [cue.splitlines()[0] for cue in cues] == ["1", "2", "3", "4"]
    assert cues[1].splitlines()[1:] == ["00:00:01,000 --> 00:00:04,000", "person 4: anger (50 %)"]
    late = Timeline("a", CLASSES, 9999.0, 0.1, (Segment(1, 3661.9996, 7322.5, 0, 1.0),))
    assert "01:01:02,000 --> 02:02:02,500" in FORMATS["srt"](late)[".srt"]
    assert FORMATS["srt"](Timeline("a", CLASSES, 1.0, 0.1, ()))[".srt"] == ""
