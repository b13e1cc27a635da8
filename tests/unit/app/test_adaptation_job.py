"""One adaptation at a time, in a process that is stopped, killed or finished, and goes on where it was."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dcdan.adaptation.folder import OutputRun, read_run
from dcdan.app.adapt_view import adapt_state, begin, conclude
from dcdan.app.adaptation_job import AdaptationJob, choice, choose, result, run_folder, unfinished
from dcdan.app.context import AppContext
from dcdan.core.errors import UsageError
from tiny_model import coloured, write_run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "meine Fötos", np.random.default_rng(5)
    folder.mkdir()
    for number in range(96):
        colour = coloured(number % 8).astype(float)
        mixed = 127 + 0.45 * (colour - 127) + 44 + rng.normal(0, 25, 3) + rng.normal(0, 4, colour.shape)
        Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def context(tmp_path: Path, photos: Path) -> AppContext:
    model = write_run(tmp_path / "model", sharpness=6.0)
    return AppContext(tmp_path / "runs", str(model), str(photos), threads=1)


def ended(context: AppContext) -> dict[str, Any]:
    assert context.job is not None
    assert context.job.wait(60)
    return context.job.view()


def test_from_a_folder_to_a_model_that_is_taken(context: AppContext, photos: Path) -> None:
    view = begin(context, {"target": str(photos), "shares": "balanced"})
    assert view["state"] == "running"
    with pytest.raises(UsageError, match="An adaptation is running"):
        begin(context, {"target": str(photos)})
    view = ended(context)
    assert (view["state"], view["done"], view["total"], view["error"]) == ("done", 96, 96, "")
    assert "96 pictures" in view["plan"]
    assert context.run == Path(view["run"])
    found = result(context.run)
    assert found["verdict"]["answer"] == "use it"
    assert len(found["rows"]) == found["faces"] == 96
    changed = [face["changed"] for face in found["rows"]]
    assert sum(changed) == found["changed_faces"] > 0
    assert changed == sorted(changed, reverse=True)
    session = context.session()
    for face in found["rows"]:
        assert str(session.answers.paths[face["row"]]) == face["path"]
    assert choice(context.run) == ""
    choose(context.run, True)
    assert choice(context.run) == "take"
    choose(context.run, False)
    assert choice(context.run) == "keep"
    assert unfinished(context.out) == []
    assert context.recogniser(str(context.run)).info.correction is not None


def test_labels_lead_to_a_new_verdict(context: AppContext, photos: Path) -> None:
    begin(context, {"target": str(photos)})
    ended(context)
    session = context.session()
    for row in session.order():
        number = int(Path(str(session.answers.paths[row])).stem)
        session.give(row, session.classes[number % 8])
    conclude(context, None)
    assert ended(context)["state"] == "done"
    assert context.run is not None
    _, content = read_run(context.run)
    assert content["labels"] == 40
    assert content["verdict"]["answer"] == "use it"
    conclude(context, 80)
    ended(context)
    assert len(context.session().order()) == 80
    assert len(context.session().given()) == 40
    with pytest.raises(UsageError, match="between 40"):
        conclude(context, 10**6)


def test_stopped_and_gone_on(context: AppContext, photos: Path) -> None:
    for number in range(96, 500):
        (photos / f"{number}.png").hardlink_to(photos / f"{number % 96:02}.png")
    begin(context, {"target": str(photos)})
    job = context.job
    assert job is not None
    deadline = time.monotonic() + 60
    while not job.done and time.monotonic() < deadline:
        time.sleep(0.01)
    job.stop()
    assert ended(context)["state"] == "stopped"
    assert 0 < job.done < 500
    waiting = unfinished(context.out)
    assert [each["target"] for each in waiting] == [str(photos)]
    assert adapt_state(context)["unfinished"] == waiting
    first = []
    out = Path(waiting[0]["run"])
    again = AdaptationJob(out, lambda view: first.append(view["done"]))
    again.start(OutputRun.model_validate({key: value for key, value in waiting[0].items() if key != "run"}), None, 1)
    assert again.wait(90)
    assert again.state == "done", again.error
    assert max(first) == 500
    assert next(count for count in first if count) >= job.done
    assert len(result(out)["rows"]) == 500


def test_what_fails_is_a_sentence(context: AppContext, photos: Path) -> None:
    for content, words in (
        ({"target": "/etc"}, "outside"),
        ({"target": 3}, "Choose"),
        ({"target": str(photos), "groups": "x"}, "Choose"),
        ({"target": str(photos), "shares": "anger=2"}, "share"),
    ):
        with pytest.raises(UsageError, match=words):
            begin(context, content)
    assert context.job is None
    empty = photos / "leer"
    empty.mkdir()
    begin(context, {"target": str(empty)})
    view = ended(context)
    assert view["state"] == "failed"
    assert "There is no face in the target" in view["error"]
    begin(context, {"target": str(photos)})  # another can be started
    assert ended(context)["state"] == "done"


def test_a_process_that_is_killed_is_told(context: AppContext, photos: Path) -> None:
    begin(context, {"target": str(photos)})
    assert context.job is not None
    assert context.job._process is not None
    context.job._process.kill()
    view = ended(context)
    assert view["state"] == "failed"
    assert "ended (exit code -9)" in view["error"]


def test_the_same_request_has_the_same_folder(tmp_path: Path) -> None:
    one = OutputRun(target="a/photos")
    assert run_folder(tmp_path, one) == run_folder(tmp_path, one.model_copy(update={"shares": "balanced"}))
    others = [OutputRun(target="b/photos"), OutputRun(target="a/photos", model="m")]
    assert len({run_folder(tmp_path, each) for each in (one, *others)}) == 3
    assert run_folder(tmp_path, OutputRun(target="../..")).parent == tmp_path
