"""Building packs: what lands where, every kind of bad picture, killed and continued, parallel as serial."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import dcdan.packs.build as build_module
from dcdan.core.errors import DataError, OutputError, UsageError
from dcdan.datasets.listing import CHUNK
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.faces.align import TEMPLATE
from dcdan.packs.build import build_pack
from dcdan.packs.pack import Pack
from dcdan.packs.prepare import inside_box, prominence
from dcdan.packs.summary import summary
from drawn_data import file_bytes, picture, write_classes, write_ferplus, write_picture


class Drawn(Reader):
    """Pictures drawn when they are loaded; `stop_at` interrupts, as Ctrl-C does, when that sample is loaded."""

    name = "drawn"
    title = "Drawn shapes"
    licence = "none"
    classes = ("fear", "anger")

    def __init__(self, count: int, stop_at: int | None = None, pause: float = 0.0) -> None:
        super().__init__(None, ReaderOptions())
        self.count, self.stop_at, self.pause = count, stop_at, pause
        self.loaded: list[int] = []

    def samples(self) -> Iterator[Sample]:
        for number in range(self.count):
            yield Sample(str(number), number % 2, split="train", groups={"age": str(number % 7)})

    def load(self, sample: Sample) -> np.ndarray:
        number = int(sample.path)
        if number == self.stop_at:
            raise KeyboardInterrupt
        time.sleep(self.pause)
        self.loaded.append(number)
        return picture(number, 10)


def build(reader: Reader, out: Path, workers: int = 1, size: int = 16, force: bool = False) -> Pack:
    return build_pack(reader, out, size=size, align="none", workers=workers, progress=False, force=force)


def test_crops_become_faces_in_order(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "in", {"happy": 3, "sad": 2}, side=16)
    pack = build(open_reader(parse_spec(f"class_folders:{root}")), tmp_path / "out")
    assert pack.faces.shape == (5, 16, 16, 3)
    for index, (folder, number) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]):
        np.testing.assert_array_equal(pack.faces[index], picture(1000 * folder + number, 16))
    assert pack.labels.tolist() == [0, 0, 0, 1, 1]
    assert pack.paths.tolist()[3] == "sad/0000.png"
    np.testing.assert_array_equal(pack.landmarks, np.tile(TEMPLATE, (5, 1, 1)))
    assert not (tmp_path / "out.partial").exists()


def test_grey_sets_are_stored_grey_and_keep_their_votes(tmp_path: Path) -> None:
    rows = [("Training", f"fer{i:07d}.png", [8 - i, i, 0, 0, 2, 0, 0, 0, 0, 0]) for i in range(3)]
    root = write_ferplus(tmp_path / "FERPlus", rows)
    pack = build(open_reader(parse_spec(f"ferplus:{root}")), tmp_path / "out", size=48)
    assert pack.faces.shape == (3, 48, 48)
    np.testing.assert_array_equal(pack.faces[1], picture(1, 48, channels=1)[:, :, 0])
    votes = pack.votes
    assert votes is not None
    np.testing.assert_allclose(votes.sum(1), 1, rtol=1e-6)
    assert votes[2, pack.classes.index("happiness")] == pytest.approx(2 / 10)


def test_a_landmark_brought_along_aligns_without_detection(tmp_path: Path) -> None:
    # Landmarks on the template, shrunk to the middle half: the face is that half, enlarged.
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 16:48] = cv2.resize(picture(5, 16), (32, 32))
    cv2.imwrite(str(tmp_path / "a.png"), image)
    points = (TEMPLATE * 32 + 16).ravel()
    header = ",".join(f"l{axis}{number}" for number in range(5) for axis in "xy")
    (tmp_path / "m.csv").write_text(f"path,{header}\na.png,{','.join(map(str, points))}\n")
    reader = open_reader(parse_spec(f"manifest:{tmp_path / 'm.csv'}"))
    pack = build_pack(reader, tmp_path / "out", size=32, workers=1, progress=False)
    expected = cv2.imread(str(tmp_path / "a.png"))[16:48, 16:48, ::-1]
    assert np.abs(pack.faces[0].astype(int) - expected).mean() < 2
    np.testing.assert_allclose(pack.landmarks[0], TEMPLATE, atol=1e-4)
    assert pack.statuses.tolist() == ["ok"]


def test_a_box_is_cut_out(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:26, 20:36] = picture(3, 16)[:, :, ::-1]
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (tmp_path / "m.csv").write_text("path,x0,y0,x1,y1\na.png,20,10,36,26\n")
    pack = build(open_reader(parse_spec(f"manifest:{tmp_path / 'm.csv'}")), tmp_path / "out")
    np.testing.assert_array_equal(pack.faces[0], picture(3, 16))
    assert pack.boxes.tolist() == [[20, 10, 36, 26]]


def test_crops_without_a_face_are_kept_and_photographs_without_one_are_not(tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "plain.png", side=64)
    crops = open_reader(parse_spec(f"folder:{tmp_path / 'in'}?faces=crops"))
    pack = build_pack(crops, tmp_path / "crops", size=32, workers=1, progress=False)
    assert pack.statuses.tolist() == ["not_aligned"]
    photographs = open_reader(parse_spec(f"folder:{tmp_path / 'in'}"))
    with pytest.raises(DataError, match=r"No face was found in the 1 pictures .*\(1 no_face\).*faces=crops"):
        build_pack(photographs, tmp_path / "photographs", size=32, workers=1, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops", "in"]


def test_aligned_faces_are_ok_and_crops_kept_as_they_are_not_aligned(tmp_path: Path) -> None:
    """T: `not_aligned` must not count faces that were aligned, here by the landmarks of the manifest."""
    for name in "abc":
        write_picture(tmp_path / f"{name}.png", side=64)
    points = (TEMPLATE * 64).round(2).ravel().tolist()
    header = ",".join(f"l{axis}{number}" for number in range(5) for axis in "xy")
    rows = [f"a.png,{','.join(map(str, points))}", f"b.png{',' * 10}", f"c.png{',' * 10}"]
    (tmp_path / "m.csv").write_text("\n".join([f"path,{header}", *rows]))
    reader = open_reader(parse_spec(f"manifest:{tmp_path / 'm.csv'}?faces=crops"))
    pack = build_pack(reader, tmp_path / "out", size=32, workers=1, progress=False)
    assert pack.statuses.tolist() == ["ok", "not_aligned", "not_aligned"]
    assert pack.info.counts.statuses == {"not_aligned": 2, "ok": 1}
    assert "status   not_aligned 2, ok 1" in summary(pack)


class Grey(Drawn):
    """Coloured pictures of a set that is stored grey."""

    channels = 1

    def load(self, sample: Sample) -> np.ndarray:
        picture = np.zeros((16, 16, 3), np.uint8)
        picture[..., int(sample.path)] = 200
        return picture


def test_colour_is_stored_grey_by_the_weights_of_red_green_and_blue(tmp_path: Path) -> None:
    """T: red, green and blue of 200 are .299, .587 and .114 of it (ITU-R BT.601)."""
    pack = build(Grey(3), tmp_path / "out")
    assert pack.faces[:, 8, 8].tolist() == [60, 117, 23]


@pytest.mark.parametrize(
    ("boxes", "chosen"),
    [
        # Of two equal faces the central one; a large one far out beats a tiny central one.
        ([(0, 0, 20, 20), (40, 40, 60, 60)], 1),
        ([(40, 40, 44, 44), (0, 0, 60, 60)], 1),
        ([(75, 40, 95, 60), (5, 5, 25, 25)], 0),
    ],
)
def test_the_most_prominent_face_is_large_and_central(boxes: list[tuple[int, int, int, int]], chosen: int) -> None:
    scores = [prominence(np.array(box), 100, 100) for box in boxes]
    assert int(np.argmax(scores)) == chosen


def test_prominence_by_hand() -> None:
    """The area 400, and 8 times the squared distance from the centre in half diagonals: 1 + 8 * .64 = 6.12."""
    assert prominence(np.array([40, 40, 60, 60]), 100, 100) == 400
    assert prominence(np.array([0, 0, 20, 20]), 100, 100) == pytest.approx(400 / 6.12)


@pytest.mark.parametrize(
    ("box", "shape", "corner"),
    [
        (None, (30, 40), (0, 0)),
        ((10.4, 5.9, 20.1, 15.2), (11, 11), (10, 5)),
        ((-5, -5, 12, 8), (8, 12), (0, 0)),
        ((30, 20, 99, 99), (10, 10), (30, 20)),
        # Less than two pixels inside the picture in one direction or the other: the whole picture.
        ((10, 5, 11, 20), (30, 40), (0, 0)),
        ((10, 5, 20, 6), (30, 40), (0, 0)),
        ((10, 5, 12, 7), (2, 2), (10, 5)),
    ],
)
def test_a_box_is_widened_to_whole_pixels_and_clipped(
    box: tuple[float, float, float, float] | None, shape: tuple[int, int], corner: tuple[int, int]
) -> None:
    crop, origin = inside_box(np.zeros((30, 40, 3), np.uint8), box)
    assert (crop.shape[:2], origin) == (shape, corner)


def huge_png(path: Path) -> None:
    """A PNG whose header declares 40000 x 40000 and that holds nothing else."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b""))


def test_every_bad_picture_has_a_row_and_the_others_are_done(tmp_path: Path) -> None:
    root = tmp_path / "in"
    good = write_picture(root / "good.png", 1)
    write_picture(root / "later.png", 2)
    (root / "cut.png").write_bytes(good.read_bytes()[:60])
    (root / "empty.jpg").write_bytes(b"")
    (root / "text.jpg").write_text("not a picture at all")
    (root / "gone.png").symlink_to(root / "nowhere.png")
    huge_png(root / "huge.png")
    pack = build(open_reader(parse_spec(f"folder:{root}")), tmp_path / "out")
    assert pack.paths.tolist() == ["good.png", "later.png"]
    assert dict(pack.failures()) == {
        "cut.png": "truncated",
        "empty.jpg": "empty",
        "text.jpg": "not_an_image",
        "gone.png": "missing",
        "huge.png": "too_large",
    }
    assert pack.info.counts.statuses == {
        "ok": 2, "truncated": 1, "empty": 1, "not_an_image": 1, "missing": 1, "too_large": 1
    }  # fmt: skip
    assert pack.info.counts.rows == 7


def test_no_readable_picture_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"No face was found in the 1 pictures of '.*' \(1 empty\)\.$"):
        build(open_reader(parse_spec(f"folder:{tmp_path / 'in'}")), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_class_without_a_sample_is_a_warning(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "in", {"happy": 1, "sad": 1, "contempt": 0})
    pack = build(open_reader(parse_spec(f"class_folders:{root}")), tmp_path / "out")
    assert pack.info.warnings == ("no sample of: contempt",)
    assert pack.info.counts.classes == {"happiness": 1, "sadness": 1, "contempt": 0}


@pytest.mark.parametrize("stop_at", [0, CHUNK + 3, 3 * CHUNK + 1])
def test_an_interrupted_build_goes_on_after_its_last_chunk(tmp_path: Path, stop_at: int) -> None:
    count = 3 * CHUNK + 20
    build(Drawn(count), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build(Drawn(count, stop_at), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    again = Drawn(count)
    build(again, tmp_path / "out")
    assert again.loaded == list(range(stop_at // CHUNK * CHUNK, count))
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")
    assert not (tmp_path / "out.partial").exists()


def test_a_torn_end_of_the_journal_or_the_faces_is_done_again(tmp_path: Path) -> None:
    count = 3 * CHUNK
    build(Drawn(count), tmp_path / "whole")
    for name, cut in (("journal.jsonl", 25), ("pack/faces.npy", 1)):
        with pytest.raises(KeyboardInterrupt):
            build(Drawn(count, stop_at=2 * CHUNK), tmp_path / "out")
        torn = tmp_path / "out.partial" / name
        os.truncate(torn, torn.stat().st_size - cut)
        again = Drawn(count)
        build(again, tmp_path / "out")
        assert again.loaded[0] == CHUNK
        assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")
        build(Drawn(2), tmp_path / "out", force=True)
        (tmp_path / "out").rename(tmp_path / f"done-{cut}")


def test_a_list_that_changed_is_packed_anew_from_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        build(Drawn(3 * CHUNK, stop_at=2 * CHUNK + 5), tmp_path / "out")
    build(Drawn(CHUNK + 5), tmp_path / "out")
    build(Drawn(CHUNK + 5), tmp_path / "whole")
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


def test_an_unfinished_build_of_something_else_is_begun_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        build(Drawn(2 * CHUNK, stop_at=CHUNK), tmp_path / "out", size=24)
    build(Drawn(5), tmp_path / "out")
    build(Drawn(5), tmp_path / "whole")
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


def test_a_killed_process_leaves_a_build_that_goes_on(tmp_path: Path) -> None:
    count = 4 * CHUNK
    code = (
        "import os, sys; from pathlib import Path; sys.path[:0] = sys.argv[1].split(os.pathsep);"
        "from test_build import Drawn, build; build(Drawn(int(sys.argv[3]), pause=0.002), Path(sys.argv[2]))"
    )
    here = os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parents[2] / "helpers")))
    process = subprocess.Popen([sys.executable, "-c", code, here, str(tmp_path / "out"), str(count)])
    journal = tmp_path / "out.partial" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 1):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    again = Drawn(count)
    build(again, tmp_path / "out")
    assert 0 < len(again.loaded) < count
    build(Drawn(count), tmp_path / "whole")
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


def test_two_processes_give_the_same_bytes_as_one(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "in", {"happy": 6 * CHUNK, "sad": 2 * CHUNK + 9}, side=6)
    (root / "sad" / "0003.png").write_bytes(b"broken")
    reader = open_reader(parse_spec(f"class_folders:{root}"))
    build(reader, tmp_path / "serial", workers=1)
    build(reader, tmp_path / "parallel", workers=2)
    assert file_bytes(tmp_path / "serial") == file_bytes(tmp_path / "parallel")


def test_a_full_disk_is_a_sentence_and_the_build_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2 * CHUNK
    flush = build_module.flush
    calls = iter(range(1000))

    def full(file: object) -> None:
        if next(calls) >= 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(file)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "flush", full)
        with pytest.raises(OutputError, match=r"No space is left for .*: free some space, then run the same"):
            build(Drawn(count), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    again = Drawn(count)
    build(again, tmp_path / "out")
    assert again.loaded == list(range(CHUNK, count))
    build(Drawn(count), tmp_path / "whole")
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


def test_what_exists_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(Drawn(3), out)
    before = file_bytes(out)
    with pytest.raises(OutputError, match=r"exists already: choose another --out, or replace it with --force"):
        build(Drawn(4), out)
    assert file_bytes(out) == before
    assert len(build(Drawn(4), out, force=True)) == 4
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.txt").write_text("precious")
    with pytest.raises(OutputError, match="is no pack, so --force does not replace it"):
        build(Drawn(3), precious, force=True)
    other = tmp_path / "other.partial"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is in the way and no unfinished pack"):
        build(Drawn(3), tmp_path / "other")
    assert (other / "notes.txt").read_text() == "mine"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert len(build(Drawn(3), empty)) == 3


def test_two_builds_of_one_pack_do_not_mix(tmp_path: Path) -> None:
    state = json.loads("{}")
    first = build_module.ResumablePack(tmp_path / "out", state, (4, 4, 3))
    with pytest.raises(OutputError, match="Another process is building"):
        build_module.ResumablePack(tmp_path / "out", state, (4, 4, 3))
    first.close()
    build_module.ResumablePack(tmp_path / "out", state, (4, 4, 3)).close()


def test_an_out_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        build(Drawn(2), tmp_path / "file" / "out")


@pytest.mark.parametrize("size", [0, -4, 15, 5000])
def test_an_impossible_size_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(UsageError, match="choose from 16 to 1024"):
        build(Drawn(2), tmp_path / "out", size=size)


def test_nothing_to_pack_says_what_was_left_out(tmp_path: Path) -> None:
    root = write_ferplus(tmp_path / "F", [("Training", "fer0000000.png", [0] * 8 + [10, 0])])
    with pytest.raises(DataError, match=r"FERPlus gave nothing to pack \(left out: 1 unknown or not a face\)"):
        build(open_reader(parse_spec(f"ferplus:{root}")), tmp_path / "out")


class Failing(Drawn):
    """The sample `fail_at` raises what a user can cause, such as data that go away."""

    def __init__(self, count: int, fail_at: int, error: Exception) -> None:
        super().__init__(count)
        self.fail_at, self.error = fail_at, error

    def load(self, sample: Sample) -> np.ndarray:
        if int(sample.path) == self.fail_at:
            raise self.error
        return super().load(sample)


def test_a_failed_build_says_what_it_leaves_and_how_to_resume(tmp_path: Path) -> None:
    """D7: the folder `out.partial` was left without a word."""
    with pytest.raises(DataError) as failed:
        build(Failing(2 * CHUNK, CHUNK + 3, DataError("The drive is gone: bring it back.")), tmp_path / "out")
    assert str(failed.value) == (
        f"The drive is gone: bring it back. {CHUNK} of {2 * CHUNK} pictures are packed and stay in "
        f"'{tmp_path / 'out.partial'}': the same command resumes there; delete that folder if you do not want to "
        "resume."
    )
    again = Drawn(2 * CHUNK)
    assert len(build(again, tmp_path / "out")) == 2 * CHUNK
    assert again.loaded[0] == CHUNK
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_build_that_fails_in_its_first_chunk_leaves_nothing(tmp_path: Path) -> None:
    """D7."""
    with pytest.raises(DataError, match=r"^The drive is gone\.$"):
        build(Failing(2 * CHUNK, 3, DataError("The drive is gone.")), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_whose_rows_are_all_bad_gives_the_first_five_reasons(tmp_path: Path) -> None:
    """D3: one count says nothing of the cause."""
    (tmp_path / "m.csv").write_text("path,label\n" + "\n".join(f"{number}.png,mood{number}" for number in range(9)))
    with pytest.raises(DataError) as failed:
        build(open_reader(parse_spec(f"manifest:{tmp_path / 'm.csv'}")), tmp_path / "out")
    reasons = "; ".join(f"line {line} of m.csv was left out: 'mood{line - 2}' is no expression" for line in range(2, 7))
    assert str(failed.value) == f"A manifest gave nothing to pack (left out: 9 damaged rows): {reasons}."


def test_a_long_list_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcdan.datasets.listing._KEPT_SAMPLES", 5)
    build(Drawn(CHUNK + 9), tmp_path / "streamed")
    monkeypatch.undo()
    build(Drawn(CHUNK + 9), tmp_path / "whole")
    assert file_bytes(tmp_path / "streamed") == file_bytes(tmp_path / "whole")
