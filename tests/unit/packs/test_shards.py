"""Shards joined: the bytes of the whole pack in whatever order they are named, and a sentence for all that is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.core.errors import DataError, OutputError, PackError, UsageError
from dcdan.datasets import listing
from dcdan.datasets.listing import checked_part, listed, parse_part
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.images.decode import UndecodableImage
from dcdan.images.status import Status
from dcdan.packs import build as build_module
from dcdan.packs import shards as module
from dcdan.packs import table
from dcdan.packs.build import build_pack
from dcdan.packs.pack import Pack
from dcdan.packs.shards import merge_packs
from drawn_data import file_bytes, picture, write_classes, write_picture


class Mixed(Reader):
    """Samples of every kind: with and without label, votes, groups, values, split; some cannot be read."""

    name = "mixed"
    title = "Mixed"
    licence = "none"
    classes = ("fear", "anger", "contempt")

    def __init__(self, count: int, unreadable: frozenset[int] = frozenset()) -> None:
        super().__init__(None, ReaderOptions())
        self.count, self.unreadable = count, unreadable
        self.warnings = ["drawn by hand"]

    def samples(self) -> Iterator[Sample]:
        for number in range(self.count):
            yield Sample(
                f"\N{SNOWMAN}/{number}",
                number % 3 - 1,
                votes=(0.25, 0.75, 0.0) if number % 4 == 1 else None,
                split=("train", "test", "")[number % 3],
                subject=f"s{number % 5}" if number % 2 else "",
                groups={"age": str(number % 7)} if number % 5 else {},
                values={"valence": number / 7} if number % 3 else {},
            )
            if number % 6 == 0:
                self.skip("odd weather")
                self.damaged(Path("list.txt"), number, "it is torn")

    def load(self, sample: Sample) -> np.ndarray:
        number = int(sample.path.split("/")[1])
        if number in self.unreadable:
            raise UndecodableImage(Status.EMPTY, "drawn so")
        return picture(number, 8)


def build(reader: Reader, out: Path, shard: tuple[int, int] | None = None, spec_text: str | None = None) -> Pack:
    return build_pack(reader, out, size=16, align="none", workers=1, progress=False, shard=shard, spec_text=spec_text)


def shards(folder: Path, count: int, samples: int = 20) -> list[Path]:
    """Pack `samples` samples in `count` shards and return their folders, the last one first."""
    for number in range(1, count + 1):
        build(Mixed(samples), folder / f"s{number}", (number, count))
    return [folder / f"s{number}" for number in range(count, 0, -1)]


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "CHUNK", 4)
        patch.setattr(table, "_GROUP_ROWS", 7)
        patch.setattr(module, "_BLOCK_BYTES", 2500)
        patch.setattr(build_module, "flush", lambda file: file.flush())
        yield


@settings(max_examples=12, deadline=None)
@given(
    samples=st.integers(1, 40), count=st.integers(1, 9), unreadable=st.frozensets(st.integers(0, 39)), data=st.data()
)
def test_merged_shards_are_the_pack_built_at_once(
    samples: int, count: int, unreadable: frozenset[int], data: st.DataObject
) -> None:
    if unreadable >= set(range(samples)):
        unreadable = frozenset()
    with TemporaryDirectory() as name:
        folder = Path(name)
        build(Mixed(samples, unreadable), folder / "whole")
        for number in range(1, count + 1):
            build(Mixed(samples, unreadable), folder / f"s{number}", (number, count))
        order = data.draw(st.permutations(range(1, count + 1)))
        before = {number: file_bytes(folder / f"s{number}") for number in order}
        merge_packs([folder / f"s{number}" for number in order], folder / "merged", progress=False).verify()
        assert file_bytes(folder / "merged") == file_bytes(folder / "whole")
        assert {number: file_bytes(folder / f"s{number}") for number in order} == before
        assert not (folder / "merged.partial").exists()


@given(samples=st.integers(1, 60), count=st.integers(1, 20))
def test_the_parts_hold_every_chunk_once_and_are_of_like_size(samples: int, count: int) -> None:
    parts = [listed(Mixed(samples), (number, count)) for number in range(1, count + 1)]
    chunks = [list(part.chunks) for part in parts]
    assert [chunk for part in chunks for chunk in part] == list(listed(Mixed(samples)).chunks)
    assert [sum(map(len, part)) for part in chunks] == [part.count for part in parts]
    assert max(map(len, chunks)) - min(map(len, chunks)) <= 1
    assert len({part.digest for part in parts}) == 1
    assert listed(Mixed(samples + 1)).digest != parts[0].digest


def test_a_long_list_is_read_twice_with_the_same_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    short = listed(Mixed(30), (1, 3))
    monkeypatch.setattr(listing, "_KEPT_SAMPLES", 5)
    long = listed(Mixed(30), (1, 3))
    assert list(long.chunks) == list(short.chunks)
    assert (long.count, long.total, long.digest) == (short.count, short.total, short.digest) == (8, 30, short.digest)
    assert long.skipped == short.skipped == {"damaged rows": 5, "odd weather": 5}
    assert long.remarks == short.remarks
    assert len(long.remarks) == 6


def test_a_shard_opens_as_a_pack_and_says_what_it_is(tmp_path: Path) -> None:
    build(Mixed(20), tmp_path / "s", (2, 2))
    pack = Pack.open(tmp_path / "s")
    assert pack.paths[0] == "\N{SNOWMAN}/8"
    assert len(pack) == 12
    assert pack.info.shard is not None
    assert (pack.info.shard.number, pack.info.shard.count, pack.info.shard.samples) == (2, 2, 20)
    build(Mixed(20), tmp_path / "whole")
    assert not {"shard", "shift"} & json.loads((tmp_path / "whole" / "pack.json").read_text()).keys()


def test_a_shard_without_samples_or_faces_is_a_pack_too(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        build(Mixed(8, frozenset({4, 5, 6, 7})), tmp_path / f"s{number}", (number, 3))
    empty, none, full = (Pack.open(tmp_path / f"s{number}") for number in (1, 3, 2))
    assert (empty.info.counts.rows, none.info.counts.rows, full.info.counts.rows) == (0, 4, 4)
    assert empty.faces.shape == none.faces.shape == (0, 16, 16, 3)
    assert empty.labels.tolist() == []
    assert none.info.counts.statuses == {"empty": 4}


def test_no_face_in_any_shard_is_told_when_they_are_merged(tmp_path: Path) -> None:
    for number in (1, 2):
        build(Mixed(8, frozenset(range(8))), tmp_path / f"s{number}", (number, 2))
    with pytest.raises(DataError, match=r"No face was found in the 8 pictures of 'mixed' \(8 empty\)\.$"):
        merge_packs([tmp_path / "s1", tmp_path / "s2"], tmp_path / "out", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s1", "s2"]


def test_an_interrupted_shard_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(Mixed(30), tmp_path / "whole", (2, 2))

    def stop(self: Mixed, sample: Sample) -> np.ndarray:
        if sample.path.endswith("/21"):
            raise KeyboardInterrupt
        return picture(int(sample.path[2:]), 8)

    with monkeypatch.context() as patch:
        patch.setattr(Mixed, "load", stop)
        with pytest.raises(KeyboardInterrupt):
            build(Mixed(30), tmp_path / "out", (2, 2))
    assert (tmp_path / "out.partial").exists()
    build(Mixed(30), tmp_path / "out", (2, 2))
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


def test_the_hint_at_crops_survives_shards(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_picture(tmp_path / "in" / f"{name}.png", side=64)
    spec = f"folder:{tmp_path / 'in'}"
    build_pack(open_reader(parse_spec(spec)), tmp_path / "s", size=16, workers=1, progress=False, shard=(1, 1))
    with pytest.raises(DataError, match=r"\(3 no_face\); if they are face crops already, add the option faces=crops"):
        merge_packs([tmp_path / "s"], tmp_path / "out", progress=False)


def test_shards_that_do_not_belong_together(tmp_path: Path) -> None:
    one, two = shards(tmp_path, 2)
    out = tmp_path / "out"
    with pytest.raises(PackError, match="both shard 1 of 2: name one of them"):
        merge_packs([two, one, two], out)
    with pytest.raises(PackError, match=r"Of 2 shards these are missing: 2; pack them with --shard i/2 and name all"):
        merge_packs([two], out)
    build(Mixed(20), tmp_path / "third", (3, 3))
    with pytest.raises(PackError, match=r"one of 2 shards and '.*third' one of 3"):
        merge_packs([one, two, tmp_path / "third"], out)
    build(Mixed(20), tmp_path / "whole")
    with pytest.raises(PackError, match=r"'.*whole' is a whole pack and no shard"):
        merge_packs([one, tmp_path / "whole"], out)
    build(Mixed(21), tmp_path / "later", (2, 2))
    with pytest.raises(PackError, match=r"The data changed between .* \(20 samples\) and .* \(21\)"):
        merge_packs([two, tmp_path / "later"], out)
    build(Mixed(20), tmp_path / "other", (2, 2), spec_text="mixed:elsewhere")
    with pytest.raises(PackError, match=r"differ in spec, 'mixed' in .* and 'mixed:elsewhere' in"):
        merge_packs([two, tmp_path / "other"], out)
    for name, value in (("size", 24), ("alignment", "mtcnn"), ("classes", ("fear", "anger")), ("channels", 1)):
        changed = tmp_path / f"other-{name}"
        shutil.copytree(one, changed)
        info = Pack.open(one).info
        (changed / "pack.json").write_text(info.model_copy(update={name: value}).text())
        with pytest.raises(PackError):  # Whether the files or the other shard show it first.
            merge_packs([two, changed], out)
    reader = Mixed(20)
    build_pack(reader, tmp_path / "large", size=24, align="none", workers=1, progress=False, shard=(2, 2))
    with pytest.raises(PackError, match=r"differ in size, '16' in .* and '24' in .*: pack them all with one command"):
        merge_packs([two, tmp_path / "large"], out)
    assert not out.exists()
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("name", ["faces.npy", "table.parquet"])
def test_a_damaged_shard_is_named_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    one, two = shards(tmp_path, 2)
    content = bytearray((two / name).read_bytes())
    content[-1] ^= 1
    (two / name).write_bytes(content)
    with pytest.raises(PackError, match=f"s1' is damaged: {name}: its SHA-256 is not the one in pack.json"):
        merge_packs([one, two], tmp_path / "out", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s1", "s2"]


def test_the_place_of_the_merged_pack(tmp_path: Path) -> None:
    one, two = shards(tmp_path, 2)
    with pytest.raises(UsageError, match="There is nothing to merge"):
        merge_packs([], tmp_path / "out")
    with pytest.raises(UsageError, match=r"The shard '.*' is inside '.*': choose another --out"):
        merge_packs([one, two], one, force=True)
    with pytest.raises(UsageError, match="is inside"):
        merge_packs([one, two], tmp_path, force=True)
    with pytest.raises(PackError, match="is no pack: it has no"):
        merge_packs([one, tmp_path / "nowhere"], tmp_path / "out")
    build(Mixed(3), tmp_path / "out")
    with pytest.raises(OutputError, match="exists already"):
        merge_packs([one, two], tmp_path / "out")
    assert len(merge_packs([one, two], tmp_path / "out", force=True, progress=False)) == 20
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        merge_packs([one, two], tmp_path / "file" / "out")


def test_data_that_vanish_while_they_are_packed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_KEPT_SAMPLES", 5)
    root = write_classes(tmp_path / "in", {"happy": 9, "sad": 1})
    reader = open_reader(parse_spec(f"class_folders:{root}"))
    selected, times = reader.selected, iter(range(9))

    def vanishing() -> Iterator[Sample]:
        if next(times) == 1:
            (root / "happy" / "0003.png").unlink()
        return selected()

    monkeypatch.setattr(reader, "selected", vanishing)
    with pytest.raises(DataError, match=r"10 samples were listed, 9 were there later; repeat the command"):
        build(reader, tmp_path / "out")
    assert len(build(open_reader(parse_spec(f"class_folders:{root}")), tmp_path / "out")) == 9


@pytest.mark.parametrize("text", ["", "1", "a/b", "1/2/3", "-1/2", "1.0/2", "1 / 2", "0x1/2", "²/3"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UsageError, match="is no shard: write i/n, such as 2/8"):
        parse_part(text)


@pytest.mark.parametrize("part", [(0, 2), (3, 2), (1, 0)])
def test_shards_are_counted_from_one(tmp_path: Path, part: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="There is no shard"):
        checked_part(part)
    with pytest.raises(UsageError, match="There is no shard"):
        build(Mixed(3), tmp_path / "out", part)
    assert not any(tmp_path.iterdir())


def test_a_shard_as_it_is_written() -> None:
    assert checked_part(parse_part("2/8")) == (2, 8)
