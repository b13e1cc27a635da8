"""The demonstration at a tiny setting through the whole of its code, its page, and what it does with folders."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dcdan.core.errors import OutputError
from dcdan.inference.recogniser import load
from dcdan.packs.pack import Pack
from dcdan.reports import demo
from dcdan.reports.demo import DemoSettings, open_demo_folder, run_demo, table
from dcdan.reports.run_report import predict_before_adaptation, read_answers, source_stage_of
from tiny_demo import TINY, finished_demo


class Pictures(HTMLParser):
    """Collects where a page's pictures come from, and where its links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the attributes that lead elsewhere."""
        found = dict(attrs)
        self.sources += [value for name in ("src", "srcset") if (value := found.get(name))]
        self.links += [value for value in [found.get("href")] if value]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demonstration."""
    return finished_demo(tmp_path_factory)


def test_page_stands_alone_and_its_links_lead_somewhere(finished: Path) -> None:
    page = (finished / "index.html").read_text()
    pictures = Pictures(page)
    assert len(pictures.sources) == 2 + 7 + 2 + 2
    assert all(source.startswith("data:image/png;base64,") for source in pictures.sources)
    assert {"results.json", "contact-sheet.png", "runs/dcdan/report.html"} <= set(pictures.links)
    assert all((finished / link).is_file() for link in pictures.links)
    assert "://" not in page
    assert "AI Act" in page


def test_figures_are_those_of_the_models_on_test_faces(finished: Path) -> None:
    figures = json.loads((finished / "results.json").read_text())
    street = Pack.open(finished / "packs" / "street")
    test = street.select("test")
    assert list(figures["methods"]) == ["source_only", "adabn", "dcdan"]
    right = {}
    for method, scores in figures["methods"].items():
        said = load(finished / "runs" / method, align="none").recognise_faces(street.faces[test]).expression
        right[method] = said == street.labels[test]
        assert scores["images"] == len(test)
        assert scores["accuracy"] == pytest.approx(right[method].mean(), abs=1e-6)
    alone = right["dcdan"] & ~right["source_only"]
    assert figures["mcnemar"]["only_dcdan"] == alone.sum()
    assert figures["gain"] == pytest.approx(right["dcdan"].mean() - right["source_only"].mean(), abs=2e-6)
    assert f"{100 * figures['methods']['dcdan']['accuracy']:.1f} %" in (finished / "index.html").read_text()
    assert len(table(finished)) == 5


def test_methods_share_one_source_stage(finished: Path) -> None:
    own = finished / "runs" / "source_only" / "checkpoints" / "source.safetensors"
    assert source_stage_of(finished / "runs" / "source_only") == own
    assert source_stage_of(finished / "runs" / "dcdan") == own
    kinds = {json.loads(line)["kind"] for line in (finished / "runs" / "dcdan" / "log.jsonl").read_text().splitlines()}
    assert "adaptation" in kinds
    assert "source" not in kinds


def test_before_the_adaptation_is_what_source_only_says(finished: Path) -> None:
    faces = Pack.open(finished / "packs" / "street", labelled=False).faces[:20]
    before = predict_before_adaptation(finished / "runs" / "dcdan", faces)
    assert before is not None
    expected = load(finished / "runs" / "source_only", align="none").recognise_faces(faces).probabilities
    assert before == pytest.approx(expected, abs=1e-4)


def test_report_of_the_adapted_run_tells_the_shift(finished: Path) -> None:
    run = finished / "runs" / "dcdan"
    page = (run / "report.html").read_text()
    answers, failures = read_answers(run / "predictions.csv", load(run, align="none").classes)
    assert (len(answers.classes), failures) == (84, 0)
    assert "Before and after" in page
    assert "changed by the adaptation" in page
    assert "pseudo_labels" in page
    share = f"{(answers.probabilities < 0.5).mean():.1%}".replace("%", " %")
    assert re.search(rf"unsure faces.*{re.escape(share)}", page)
    assert all(source.startswith("data:") for source in Pictures(page).sources)


def test_a_demonstration_without_its_page_goes_on_where_it_was(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "moved"
    shutil.copytree(finished, out, ignore=shutil.ignore_patterns("index.html", "report.html", "predictions.csv"))
    # Runs remember where their data lay, so only a folder in its old place can go on.
    shutil.rmtree(out / "runs")
    open_demo_folder(out, TINY, force=False)
    assert (out / "packs" / "street" / "faces.npy").is_file()
    models = {path: path.stat().st_mtime_ns for path in finished.rglob("model.onnx")}
    (finished / "index.html").unlink()
    assert run_demo(finished, settings=TINY, quiet=True) == finished / "index.html"
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("model.onnx")} == models


def test_a_finished_demonstration_is_replaced_only_by_force(tmp_path: Path) -> None:
    out = tmp_path / "out"
    open_demo_folder(out, TINY, force=False)
    (out / "index.html").write_text("done")
    (out / "old").mkdir()
    with pytest.raises(OutputError, match="--force"):
        open_demo_folder(out, TINY, force=False)
    open_demo_folder(out, TINY, force=True)
    assert [path.name for path in out.iterdir()] == [demo.MARK]


def test_an_unfinished_one_of_other_settings_is_not_continued(tmp_path: Path) -> None:
    out = tmp_path / "out"
    open_demo_folder(out, TINY, force=False)
    open_demo_folder(out, TINY, force=True)
    with pytest.raises(OutputError, match="another demonstration"):
        open_demo_folder(out, DemoSettings(seed=1), force=False)


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 2}'])
def test_folders_of_others_are_left_alone_even_by_force(tmp_path: Path, content: str) -> None:
    (tmp_path / "demo.json").write_text(content)
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    for force in (False, True):
        with pytest.raises(OutputError, match="no demonstration"):
            run_demo(tmp_path, settings=TINY, force=force, quiet=True)
    assert (tmp_path / "photo.jpg").read_bytes() == b"mine"


def test_method_options_are_kept_from_the_baselines() -> None:
    assert TINY.of("dcdan").options["threshold_floor"] == 0
    assert TINY.of("source_only").options == {}
    for method in demo.METHODS:
        TINY.of(method).method_settings()
