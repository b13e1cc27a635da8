"""Work on Ray: what one process gives, byte for byte, each row once, whatever process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dcdan.cli.main import run as dcdan
from dcdan.core.atomic_io import Form
from dcdan.core.errors import ClusterError, DataError, Unreachable, UsageError
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.inference.annotated_output import video_file
from dcdan.inference.predict import Step, predict_to_file
from dcdan.inference.recogniser import load
from dcdan.jobs import cluster as cluster_module
from dcdan.jobs import ray_guard
from dcdan.jobs.cluster import Cluster
from dcdan.packs.build import build_pack
from drawn_data import file_bytes, write_classes
from tiny_model import coloured, write_run

PICTURES = 100
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra dcdan[ray]")


@pytest.fixture(scope="module")
def two() -> Iterator[Cluster]:
    """Ray with two processes, for all tests of this file."""
    if find_spec("ray") is None:
        pytest.skip("needs the extra dcdan[ray]")
    with Cluster("local", workers=2) as cluster:
        from ray import cloudpickle

        # This file is no module to Ray's processes.
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield cluster


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of which one is damaged, with a video between them."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for index in range(PICTURES):
        Image.fromarray(coloured(index % 8)).save(folder / ("deep" if index % 3 else "") / f"{index:03}.png")
    (folder / "006.png").write_bytes(b"\xff\xd8\xff cut")
    with video_file(folder / "020.mp4", 10.0) as write:
        for index in range(5):
            write(coloured(index, 64))
    return folder


def killing(marks: Path, number: int) -> tuple[int, int]:
    """End the process of piece 3 before its first answer, as an overfull machine does; tell how often it was begun."""
    with (marks / str(number)).open("a") as mark:
        mark.write(".")
    if number == 3 and (marks / "3").stat().st_size == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number, (marks / str(number)).stat().st_size


def failing(marks: Path, error: type[Exception], number: int) -> int:
    with (marks / str(number)).open("a") as mark:
        mark.write(".")
    if (marks / str(number)).stat().st_size == 1:
        raise error("not now")
    return number


def dying(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_answers_come_in_order_and_once_though_a_process_is_killed(two: Cluster, tmp_path: Path) -> None:
    found = list(two.ordered(partial(killing, tmp_path), range(20)))
    assert [piece for piece, _ in found] == list(range(20))
    assert [answer for _, (answer, _) in found] == list(range(20))
    assert found[3][1] == (3, 2)


def test_a_picture_that_cannot_be_fetched_is_fetched_again_and_other_errors_are_told(
    two: Cluster, tmp_path: Path
) -> None:
    assert [answer for _, answer in two.ordered(partial(failing, tmp_path, Unreachable), [1, 2])] == [1, 2]
    with pytest.raises(DataError, match=r"^not now$"):
        list(two.ordered(partial(failing, tmp_path, DataError), [3]))


def test_a_piece_that_kills_every_process_ends_the_work(two: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "RETRIES", 1)
    with pytest.raises(ClusterError, match=r"lost 2 times .*: check the memory"):
        list(two.ordered(dying, [1]))


def test_a_path_that_another_machine_does_not_see_is_an_error_not_a_row(two: Cluster, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()

    def pieces() -> Iterator[int]:
        (tmp_path / "here").rmdir()
        yield 1

    with pytest.raises(DataError, match="here' is not on the machine"):
        list(Cluster("local", paths=[tmp_path / "here", "nowhere"]).ordered(abs, pieces()))


@pytest.mark.parametrize("form", [Form.CSV, Form.JSONL])
def test_predictions_are_those_of_one_process(
    two: Cluster, run: Path, pictures: Path, tmp_path: Path, form: Form
) -> None:
    plain, spread = tmp_path / f"plain{form}", tmp_path / f"spread{form}"
    model = load(run, threads=1)
    summary = predict_to_file(model, [pictures], plain, form)
    assert predict_to_file(model, [pictures], spread, form, cluster=two) == summary
    assert spread.read_bytes() == plain.read_bytes()
    assert summary.inputs == PICTURES + 1
    assert summary.statuses["unreadable"] == 1


def test_what_one_process_began_a_cluster_ends(two: Cluster, run: Path, pictures: Path, tmp_path: Path) -> None:
    plain, spread = tmp_path / "plain.csv", tmp_path / "spread.csv"
    model = load(run, threads=1)
    predict_to_file(model, [pictures], plain)

    def stop(step: Step) -> None:
        if step.inputs and "deep" in step.inputs[0].path:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_to_file(model, [pictures], spread, each=stop)
    told: list[int] = []
    predict_to_file(model, [pictures], spread, cluster=two, begun=told.append)
    assert told[0] > 0
    assert spread.read_bytes() == plain.read_bytes()


def test_a_pack_is_that_of_one_process(two: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_classes(tmp_path / "data", {"happy": 150, "sad": 150})
    (data / "sad" / "0003.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    given = ["pack", f"class_folders:{data}", "--size", "16", "--align", "none", "--quiet", "--out"]
    assert dcdan([*given, str(tmp_path / "plain"), "--workers", "1"]) == 0
    assert dcdan([*given, str(tmp_path / "spread"), "--ray", "local"]) == 0
    assert file_bytes(tmp_path / "spread") == file_bytes(tmp_path / "plain")


def test_a_url_gives_what_the_folder_gives(two: Cluster, run: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "020.mp4").unlink()
    given = ["--model", str(run), "--quiet", "--out"]
    assert dcdan(["predict", str(pictures), "--threads", "1", *given, str(tmp_path / "plain.csv")]) == 0
    assert dcdan(["predict", f"file://{pictures}", "--ray", "local", *given, str(tmp_path / "url.csv")]) == 0
    plain, spread = (tmp_path / "plain.csv").read_text(), (tmp_path / "url.csv").read_text()
    assert spread.replace("file://", "") == plain


def test_without_the_extra_a_sentence_names_it(
    run: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert dcdan(["predict", str(pictures), "--model", str(run), "--ray", "local"]) == 8
    assert capsys.readouterr().err == "dcdan: --ray needs the package 'ray': pip install \"dcdan[ray]\".\n"


@needs_ray
@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:1", "There is no Ray cluster at '127.0.0.1:1' ([Errno 111] Connection refused): start one with"),
        ("here", "'here' is no address of a Ray cluster: give local, auto or HOST:PORT."),
    ],
)
def test_an_address_without_a_cluster_is_told_at_once(address: str, sentence: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises((UsageError, ClusterError)) as told, Cluster(address):
        pass
    assert sentence in str(told.value)
    assert time.monotonic() - began < 10


@needs_ray
def test_a_ray_that_does_not_start_is_one_sentence_and_code(
    run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """S20: 70, 1 or 3."""
    import ray

    def init(**_: object) -> None:
        raise RuntimeError("The current node timed out during startup.\nA log of forty lines.")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    out = str(tmp_path / "rows.csv")
    assert dcdan(["predict", str(pictures), "--model", str(run), "--ray", "local", "--out", out]) == 9
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "Ray does not start on this machine (The current node timed out during startup): leave out --ray" in told


@pytest.mark.parametrize("option", [["camera:0"], ["--draw", "drawn"], ["--show"]])
def test_what_belongs_to_this_machine_is_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["predict", "a.jpg", *option, "--ray", "local"]) == 2
    assert "leave" in capsys.readouterr().err


def ancestors(process: int) -> Iterator[int]:
    while process > 1:
        try:
            process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return
        yield process


def workers_of(driver: int) -> list[int]:
    """Return the processes below a driver that are at work on a piece, by the name that Ray gives them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            at_work = (entry / "cmdline").read_bytes().startswith(b"ray::_do")
        except OSError:
            continue
        if at_work and driver in ancestors(int(entry.name)):
            found.append(int(entry.name))
    return found


def killed_once(command: list[str], ready: Callable[[], bool]) -> int:
    """Run dcdan, kill one of its workers once it is ready, and return the exit code."""
    code = "import sys; from dcdan.__main__ import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, *command])
    deadline = time.monotonic() + 300
    killed = False
    while process.poll() is None and not killed:
        assert time.monotonic() < deadline
        if ready() and (found := workers_of(process.pid)):
            os.kill(found[0], signal.SIGKILL)
            killed = True
        time.sleep(0.005)
    assert killed
    return process.wait(300)


@pytest.mark.slow
@needs_ray
@pytest.mark.parametrize("command", ["predict", "pack"])
def test_the_command_ends_as_ever_when_a_worker_is_killed_in_the_middle(command: str, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    count = 1500
    for index in range(count):
        Image.fromarray(coloured(index % 8, 400)).save(folder / f"{index:04}.png", compress_level=1)
    (folder / "0700.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    given = {
        "predict": ["--threads", "1", "--model", str(write_run(tmp_path / "run"))],
        "pack": ["--size", "32", "--align", "none"],
    }[command]
    plain, spread = tmp_path / "plain.csv", tmp_path / "spread.csv"
    assert dcdan([command, str(folder), *given, "--quiet", "--out", str(plain)]) == 0
    journal = tmp_path / "spread.csv.partial" / "journal.jsonl"
    spread_out = [command, str(folder), *given, "--ray", "local", "--quiet", "--out", str(spread)]
    assert killed_once(spread_out, lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 2) == 0
    if command == "pack":
        assert file_bytes(spread) == file_bytes(plain)
    else:
        assert spread.read_bytes() == plain.read_bytes()
        rows = Counter(line.partition(",")[0] for line in spread.read_text().splitlines()[1:])
        assert len(rows) == count
        assert set(rows.values()) == {1}


def below(process: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) != process and process in ancestors(int(entry.name)):
            yield int(entry.name)


def name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@needs_ray
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("killed", ["the command", "raylet", "DashboardAgent"])
def test_ray_ends_with_the_command_and_the_command_with_a_sentence(
    killed: str, run: Path, pictures: Path, tmp_path: Path
) -> None:
    """S10: agents lived on, and Ray's log was all that was printed."""
    out = tmp_path / "rows.csv"
    code = "import sys; from dcdan.__main__ import main; main()"
    given = ["predict", *[str(pictures)] * 40, "--model", str(run), "--ray", "local", "--threads", "1", "--quiet"]
    command = [sys.executable, "-c", code, *given, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        journal = tmp_path / "rows.csv.partial" / "journal.jsonl"
        deadline = time.monotonic() + 120
        while not (journal.exists() and journal.read_bytes()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        children = {child: name_of(child) for child in below(process.pid)}
        assert sum("ray::" in name for name in children.values()) >= 2
        if killed == "the command":
            process.kill()
        else:
            os.kill(next(child for child, name in children.items() if f"{killed} " in f"{name} "), signal.SIGKILL)
        printed, error = process.communicate(timeout=90)
    assert error.splitlines()[-1].startswith("dcdan: ")
    assert "run the same command to resume" in error
    assert not printed
    # Ray ends this process itself, with 1, where an agent and so the node process is lost.
    assert process.returncode == {"the command": -signal.SIGKILL, "raylet": 9, "DashboardAgent": 1}[killed]
    deadline = time.monotonic() + 20
    while any(map(alive, children)):
        assert time.monotonic() < deadline, [name for child, name in children.items() if alive(child)]
        time.sleep(0.1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_guard_ends_the_processes_of_its_session_alone(tmp_path: Path) -> None:
    code = "import sys, time; file = open(sys.argv[1], 'w'); print(flush=True); time.sleep(60)"
    files = [tmp_path / "session_1" / "log", tmp_path / "session_10" / "log"]
    processes = []
    for file in files:
        file.parent.mkdir()
        processes.append(subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE))
        assert processes[-1].stdout is not None
        processes[-1].stdout.readline()
    try:
        ray_guard.end_session(str(tmp_path / "session_1"))
        assert processes[0].wait(10) == -signal.SIGKILL
        assert processes[1].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.slow
@needs_ray
def test_a_machine_that_is_lost_loses_and_doubles_nothing(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster as Machines

    machines = Machines(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    lost = machines.add_node(num_cpus=1)

    class Losing(Cluster):
        def ordered(self, work: Callable[[Any], Any], pieces: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
            for number, each in enumerate(super().ordered(work, pieces)):
                if number == 3:
                    machines.remove_node(lost, allow_graceful=False)
                yield each

    data = write_classes(tmp_path / "data", {"happy": 1000, "sad": 1000})
    build = partial(build_pack, open_reader(parse_spec(str(data))), size=64, align="none", progress=False)
    build(tmp_path / "plain", workers=1)
    try:
        with Losing(machines.address, paths=[data]) as cluster:
            build(tmp_path / "spread", cluster=cluster)
    finally:
        machines.shutdown()
    assert not lost.any_processes_alive()
    assert file_bytes(tmp_path / "spread") == file_bytes(tmp_path / "plain")
