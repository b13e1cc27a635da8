"""Files that wish the program ill, made by hand: each with the command that meets it, and the answer it must get.

Used by ``tests/integration/test_hostile.py`` and, with seeded damage to good files beside them, by
``experiments/hostile.py``.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from dcdan.packs.format import FACES, INFO, TABLE
from tiny_model import colour_graph, coloured, write_run
from tiny_training import SIZE, drawn

NASTY = "\x1b]0;owned\x07\x1b[2J\u202egpj.exe\u2066"
"""Sets a terminal's title, clears it, and turns the direction of writing."""
UNPICKLED = Path(tempfile.gettempdir()) / "dcdan-was-unpickled"
"""The file that a pickle among these would write."""


@dataclass(frozen=True)
class Good:
    """Good files to spoil: a run whose model names colours, a labelled pack, a picture."""

    run: Path
    pack: Path
    picture: Path


@dataclass(frozen=True)
class Hostile:
    """``make(good, here)`` writes into the empty folder ``here`` and returns the command's arguments.

    ``code`` is the documented exit code, ``says`` a part of what is printed; what is accepted does no harm.
    """

    kind: str
    name: str
    make: Callable[[Good, Path], list[str]]
    code: int
    says: str


HOSTILE: list[Hostile] = []

_Make = Callable[[Good, Path], list[str]]


def hostile(kind: str, code: int, says: str) -> Callable[[_Make], _Make]:
    """Add a maker to the list; its name says what the file is."""

    def add(make: _Make) -> _Make:
        HOSTILE.append(Hostile(kind, make.__name__.replace("_", " "), make, code, says))
        return make

    return add


def good_files(folder: Path) -> Good:
    """Write the good files."""
    picture = folder / "good.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coloured(3)).save(picture)
    return Good(write_run(folder / "run", size=SIZE), drawn(folder, "studio", n=21), picture)


# --- pictures


def png(width: int, height: int, pixels: bytes, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """Return a PNG whose header declares this, whatever its ``pixels`` (already compressed) are."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def predict(good: Good, *paths: Path, run: Path | None = None) -> list[str]:
    """Return the command that recognises pictures."""
    return ["predict", *map(str, paths), "--model", str(run or good.run), "--threads", "1"]


def picture(name: str, content: bytes) -> _Make:
    """Return a maker of one picture file."""

    def make(good: Good, here: Path) -> list[str]:
        (here / name).write_bytes(content)
        return predict(good, here / name)

    return make


@hostile("picture", 3, "too many pixels")
def png_that_says_a_hundred_thousand_pixels_a_side(good: Good, here: Path) -> list[str]:
    return picture("bomb.png", png(100_000, 100_000, zlib.compress(b"\0" * 1000)))(good, here)


@hostile("picture", 3, "too many pixels or bytes")
def png_that_says_more_than_it_holds(good: Good, here: Path) -> list[str]:
    return picture("lie.png", png(9000, 9000, zlib.compress(b"\0" * 1000)))(good, here)


@hostile("picture", 3, "damaged")
def png_with_a_compressed_comment_of_64_megabytes(good: Good, here: Path) -> list[str]:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(64)) + packer.flush()
    rows = zlib.compress((b"\0" + b"\xff" * 96) * 32)
    content = png(32, 32, rows)
    end = content.index(b"IEND") - 4
    return picture("comment.png", content[:end] + chunk(b"zTXt", b"Comment\0\0" + bomb) + content[end:])(good, here)


@hostile("picture", 3, "damaged")
def png_with_such_a_comment_before_its_pixels(good: Good, here: Path) -> list[str]:
    bomb = zlib.compress(b"\0" * (8 << 20))
    rows = zlib.compress((b"\0" + b"\xff" * 96) * 32)
    return picture("comment.png", png(32, 32, rows, extra=chunk(b"zTXt", b"Comment\0\0" + bomb)))(good, here)


@hostile("picture", 3, "too many pixels")
def jpeg_that_says_65500_pixels_a_side(good: Good, here: Path) -> list[str]:
    Image.fromarray(coloured(3)).save(here / "a.jpg")
    content = bytearray((here / "a.jpg").read_bytes())
    place = content.index(b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", 65500, 65500)
    return picture("lie.jpg", bytes(content))(good, here)


@hostile("picture", 3, "damaged")
def truncated_jpeg(good: Good, here: Path) -> list[str]:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)).save(here / "a.jpg")
    return picture("half.jpg", (here / "a.jpg").read_bytes()[:5000])(good, here)


@hostile("picture", 3, "too many pixels")
def bmp_that_says_two_thousand_million_pixels_a_side(good: Good, here: Path) -> list[str]:
    head = b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, 2_000_000_000, 2_000_000_000, 1, 24, 0, 0, 0, 0, 0, 0)
    return picture("lie.bmp", head + info + b"\0" * 900)(good, here)


@hostile("picture", 3, "damaged")
def tiff_whose_directory_is_its_own_header(good: Good, here: Path) -> list[str]:
    return picture("loop.tif", b"II*\0\0\0\0\0" + b"\xff" * 64)(good, here)


@hostile("picture", 0, "ok")
def animation_of_a_thousand_pictures(good: Good, here: Path) -> list[str]:
    frames = [Image.fromarray(coloured(index % 8, 64)) for index in range(1000)]
    frames[0].save(here / "film.webp", save_all=True, append_images=frames[1:], lossless=True)
    return predict(good, here / "film.webp")


@hostile("picture", 0, "ok")
def tiff_of_a_hundred_pages(good: Good, here: Path) -> list[str]:
    frames = [Image.fromarray(coloured(index % 8, 16)) for index in range(100)]
    frames[0].save(here / "pages.tif", save_all=True, append_images=frames[1:])
    return predict(good, here / "pages.tif")


@hostile("picture", 3, "too many pixels or bytes")
def file_of_8_gigabytes_that_begins_as_a_webp(good: Good, here: Path) -> list[str]:
    with (here / "large.webp").open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\x7fWEBPVP8X")
        file.truncate(8 << 30)
    return predict(good, here / "large.webp")


@hostile("picture", 3, "is no picture or video of a known kind")
def pickle_named_jpg(good: Good, here: Path) -> list[str]:
    return picture("a.jpg", pickle.dumps(Evil()))(good, here)


@hostile("picture", 3, "is no picture or video of a known kind")
def link_to_a_device(good: Good, here: Path) -> list[str]:
    (here / "a.jpg").symlink_to("/dev/zero")
    return predict(good, here / "a.jpg")


@hostile("picture", 3, "has a format that cannot be read here")
def program_in_svg(good: Good, here: Path) -> list[str]:
    return picture("a.png", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')(good, here)


@hostile("picture", 0, "u202egpj.exe\\u2066.png")
def name_that_drives_the_terminal(good: Good, here: Path) -> list[str]:
    shutil.copy(good.picture, here / f"{NASTY}.png")
    return predict(good, here)


@hostile("picture", 0, "1 face recognised")
def name_that_is_a_formula(good: Good, here: Path) -> list[str]:
    shutil.copy(good.picture, here / "=HYPERLINK(1).png")
    return [*predict(good, here), "--out", str(here / "rows.csv")]


@hostile("video", 3, "is no video of a known kind")
def playlist_named_mp4(good: Good, here: Path) -> list[str]:
    (here / "a.mp4").write_text("#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    return predict(good, here / "a.mp4")


@hostile("video", 2, "offline")
def address_of_a_video(good: Good, here: Path) -> list[str]:
    return ["--offline", "predict", "http://192.0.2.1/a.mp4", "--model", str(good.run)]


class Evil:
    """Writes a file when it is unpickled, which must never happen."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (UNPICKLED, "owned")


# --- lists of pictures


def check(spec: str) -> list[str]:
    """Return the command that reads a data set and opens its pictures."""
    return ["data", "check", spec, "--workers", "1", "--quiet"]


def manifest(*rows: str) -> _Make:
    """Return a maker of a manifest with these lines."""

    def make(good: Good, here: Path) -> list[str]:
        folder = here / "data"
        folder.mkdir()
        shutil.copy(good.picture, folder / "a.png")
        shutil.copy(good.picture, here / "outside.png")
        (folder / "link.png").symlink_to(here / "outside.png")
        (folder / "m.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        return check(f"manifest:{folder / 'm.csv'}")

    return make


@hostile("manifest", 0, "leads out of")
def row_that_climbs_out(good: Good, here: Path) -> list[str]:
    return manifest("path,label", "a.png,fear", "../outside.png,fear")(good, here)


@hostile("manifest", 0, "leads out of")
def row_with_an_absolute_path(good: Good, here: Path) -> list[str]:
    return manifest("path,label", "a.png,fear", "/etc/passwd,fear")(good, here)


@hostile("manifest", 0, "leads out of")
def row_that_is_a_link_to_outside(good: Good, here: Path) -> list[str]:
    return manifest("path,label", "a.png,fear", "link.png,fear")(good, here)


@hostile("manifest", 0, "is no expression")
def label_that_drives_the_terminal(good: Good, here: Path) -> list[str]:
    return manifest("path,label", "a.png,fear", f'a.png,"{NASTY}"')(good, here)


@hostile("manifest", 0, "not all finite")
def box_that_is_no_number(good: Good, here: Path) -> list[str]:
    return manifest("path,x0,y0,x1,y1", "a.png,0,0,9,9", "a.png,0,0,nan,1e999")(good, here)


@hostile("manifest", 3, "is no readable CSV table")
def cell_of_a_million_letters(good: Good, here: Path) -> list[str]:
    return manifest("path,label", "a" * 1_000_000 + ",fear")(good, here)


@hostile("manifest", 3, "is no readable CSV table")
def line_of_300_megabytes(good: Good, here: Path) -> list[str]:
    (here / "m.csv").write_bytes(b"path,label\n")
    with (here / "m.csv").open("r+b") as file:
        file.truncate(300 << 20)
    return check(f"manifest:{here / 'm.csv'}")


@hostile("manifest", 3, "no readable Parquet file")
def csv_named_parquet(good: Good, here: Path) -> list[str]:
    (here / "m.parquet").write_text("path,label\na.png,fear\n")
    return check(f"manifest:{here / 'm.parquet'}")


@hostile("manifest", 0, "ok 2")
def landmarks_far_outside_the_picture(good: Good, here: Path) -> list[str]:
    points = ",".join(f"l{axis}{n}" for n in range(5) for axis in "xy")
    return [
        "pack",
        *manifest(f"path,{points}", "a.png,9,9,30,9,20,20,10,30,30,30", "a.png" + ",1e38" * 10)(good, here)[2:3],
        "--out",
        str(here / "p"),
        "--size",
        "32",
        "--workers",
        "1",
    ]


@hostile("label file", 0, "damaged rows")
def votes_for_a_picture_outside(good: Good, here: Path) -> list[str]:
    ferplus(here, "Training,../../../outside.png,10,0,0,0,0,0,0,0,0,0")
    return check(f"ferplus:{here / 'set'}")


@hostile("label file", 0, "outside:")
def picture_of_a_data_set_that_is_a_link_to_outside(good: Good, here: Path) -> list[str]:
    folder = ferplus(here, "Training,link.png,10,0,0,0,0,0,0,0,0,0")
    shutil.copy(good.picture, here / "outside.png")
    (folder / "link.png").symlink_to(here / "outside.png")
    return check(f"ferplus:{here / 'set'}")


def ferplus(here: Path, *rows: str) -> Path:
    """Write FERPlus of one good picture and these rows; return the folder of the pictures."""
    head = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    folder = here / "set" / "data" / "FER2013Train"
    for name in ("FER2013Train", "FER2013Valid", "FER2013Test"):
        (here / "set" / "data" / name).mkdir(parents=True)
    Image.fromarray(coloured(3, 48)[:, :, 0]).save(folder / "good.png")
    lines = [head, "Training,good.png,10,0,0,0,0,0,0,0,0,0", *rows]
    (here / "set" / "fer2013new.csv").write_text("\n".join(lines) + "\n")
    return folder


# --- packs


def evaluate(good: Good, pack: Path, run: Path | None = None) -> list[str]:
    """Return the command that scores the model on a pack."""
    out = ["--out", str(pack.parent / "report"), "--quiet", "--threads", "1"]
    return ["evaluate", "--model", str(run or good.run), "--data", str(pack), *out]


def copied_pack(good: Good, here: Path) -> Path:
    """Return a copy of the good pack."""
    return Path(shutil.copytree(good.pack, here / "pack"))


def sealed(pack: Path, **changes: Any) -> Path:
    """Give a pack's description other values and the checksums of the files as they are: a lie that is consistent."""
    content = json.loads((pack / INFO).read_text())
    content["sha256"] = {name: hashlib.sha256((pack / name).read_bytes()).hexdigest() for name in (TABLE, FACES)}
    (pack / INFO).write_text(json.dumps(content | changes))
    return pack


def with_column(pack: Path, name: str, values: Callable[[list[Any]], list[Any]]) -> Path:
    """Give one column of a pack's table other values, and seal the pack."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    table = parquet.read_table(pack / TABLE)
    place = table.schema.get_field_index(name)
    column = arrow.array(values(table[name].to_pylist()), table.schema.field(name).type)
    parquet.write_table(table.set_column(place, table.schema.field(name), column), pack / TABLE)
    return sealed(pack)


@hostile("pack", 4, "cannot be read")
def description_nested_a_hundred_thousand_deep(good: Good, here: Path) -> list[str]:
    pack = copied_pack(good, here)
    (pack / INFO).write_text('{"schema":' + "[" * 100_000 + "]" * 100_000 + "}")
    return evaluate(good, pack)


@hostile("pack", 4, "larger than")
def description_of_300_megabytes(good: Good, here: Path) -> list[str]:
    pack = copied_pack(good, here)
    with (pack / INFO).open("r+b") as file:
        file.truncate(300 << 20)
    return evaluate(good, pack)


@hostile("pack", 4, "is damaged")
def faces_that_are_a_pickle(good: Good, here: Path) -> list[str]:
    pack = copied_pack(good, here)
    np.save(pack / FACES, np.array([Evil()], dtype=object), allow_pickle=True)
    return evaluate(good, sealed(pack))


@hostile("pack", 4, "is damaged")
def faces_whose_header_says_a_thousand_million(good: Good, here: Path) -> list[str]:
    pack = copied_pack(good, here)
    counts = json.loads((pack / INFO).read_text())["counts"] | {"faces": 1_000_000_000}
    return evaluate(good, sealed(pack, counts=counts))


@hostile("pack", 4, "is not right")
def size_that_overflows(good: Good, here: Path) -> list[str]:
    return evaluate(good, sealed(copied_pack(good, here), size=1 << 62))


@hostile("pack", 4, "its SHA-256 is not the one")
def table_that_was_changed(good: Good, here: Path) -> list[str]:
    pack = copied_pack(good, here)
    content = bytearray((pack / TABLE).read_bytes())
    content[len(content) // 2] ^= 255
    (pack / TABLE).write_bytes(content)
    return evaluate(good, pack)


@hostile("pack", 4, "is damaged")
def labels_beyond_the_classes(good: Good, here: Path) -> list[str]:
    return evaluate(good, with_column(copied_pack(good, here), "label", lambda old: [99] * len(old)))


@hostile("pack", 4, "is damaged")
def fewer_rows_than_faces(good: Good, here: Path) -> list[str]:
    return evaluate(good, with_column(copied_pack(good, here), "row", lambda old: [-1] * len(old)))


@hostile("pack", 4, "is damaged")
def table_of_a_hundred_million_rows_in_a_few_bytes(good: Good, here: Path) -> list[str]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    pack = copied_pack(good, here)
    table = parquet.read_table(pack / TABLE).slice(0, 1)
    block = arrow.concat_tables([table] * 10_000).combine_chunks()
    with parquet.ParquetWriter(pack / TABLE, table.schema, compression="zstd") as writer:
        for _ in range(100):
            writer.write_table(block)
    return evaluate(good, sealed(pack))


@hostile("pack", 4, "leads out of")
def faces_that_are_a_link_to_outside(good: Good, here: Path) -> list[str]:
    pack = copied_pack(good, here)
    shutil.move(pack / FACES, here / "faces.npy")
    (pack / FACES).symlink_to(here / "faces.npy")
    return evaluate(good, pack)


@hostile("pack", 4, "is not right")
def class_that_drives_the_terminal(good: Good, here: Path) -> list[str]:
    pack = copied_pack(good, here)
    content = json.loads((pack / INFO).read_text())
    return evaluate(good, sealed(pack, classes=[NASTY, *content["classes"][1:]]))


# --- models


def spoilt_run(good: Good, here: Path) -> Path:
    """Return a copy of the good run."""
    return Path(shutil.copytree(good.run, here / "run"))


def with_graph(run: Path, content: bytes) -> Path:
    """Give a run another graph, with its checksum."""
    (run / "model.onnx").write_bytes(content)
    return described(run, files={"model.onnx": hashlib.sha256(content).hexdigest()})


def described(run: Path, **changes: Any) -> Path:
    """Change values of a run's description."""
    info = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps(info | changes))
    return run


@hostile("model", 5, "cannot be read")
def model_description_nested_a_hundred_thousand_deep(good: Good, here: Path) -> list[str]:
    run = spoilt_run(good, here)
    (run / "model.json").write_text('{"schema":1,"training":' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}")
    return predict(good, good.picture, run=run)


@hostile("model", 5, "larger than")
def model_description_of_300_megabytes(good: Good, here: Path) -> list[str]:
    run = spoilt_run(good, here)
    with (run / "model.json").open("r+b") as file:
        file.truncate(300 << 20)
    return predict(good, good.picture, run=run)


@hostile("model", 5, "files")
def description_that_names_a_file_outside(good: Good, here: Path) -> list[str]:
    run = spoilt_run(good, here)
    files = json.loads((run / "model.json").read_text())["files"] | {"../../outside.onnx": "0" * 64}
    return predict(good, good.picture, run=described(run, files=files))


@hostile("model", 5, "temperature")
def temperature_without_end(good: Good, here: Path) -> list[str]:
    return predict(good, good.picture, run=described(spoilt_run(good, here), temperature=float("inf")))


@hostile("model", 5, "classes")
def class_that_is_a_formula(good: Good, here: Path) -> list[str]:
    classes = json.loads((good.run / "model.json").read_text())["classes"]
    run = described(spoilt_run(good, here), classes=["=cmd|' /C calc'!A0", *classes[1:]])
    return predict(good, good.picture, run=run)


@hostile("model", 5, "its checksum differs")
def graph_that_was_changed(good: Good, here: Path) -> list[str]:
    run = spoilt_run(good, here)
    (run / "model.onnx").write_bytes((run / "model.onnx").read_bytes() + b"\0")
    return predict(good, good.picture, run=run)


@hostile("model", 5, "leads out of")
def graph_that_is_a_link_to_outside(good: Good, here: Path) -> list[str]:
    run = spoilt_run(good, here)
    shutil.move(run / "model.onnx", here / "model.onnx")
    (run / "model.onnx").symlink_to(here / "model.onnx")
    return predict(good, good.picture, run=run)


@hostile("model", 5, "cannot be loaded")
def graph_that_is_a_pickle(good: Good, here: Path) -> list[str]:
    return predict(good, good.picture, run=with_graph(spoilt_run(good, here), pickle.dumps(Evil())))


@hostile("model", 5, "another file")
def graph_whose_weights_lie_outside(good: Good, here: Path) -> list[str]:
    graph = colour_graph(SIZE, 8)
    (here / "weights.bin").write_bytes(b"\0" * 96)
    for tensor in graph.graph.initializer:
        if tensor.name == "matrix":
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "../weights.bin"), ("offset", "0"), ("length", "96")):
                tensor.external_data.add(key=key, value=value)
    return predict(good, good.picture, run=with_graph(spoilt_run(good, here), graph.SerializeToString()))


@hostile("model", 5, "cannot be loaded")
def graph_with_an_operator_of_its_own(good: Good, here: Path) -> list[str]:
    graph = colour_graph(SIZE, 8)
    graph.graph.node.insert(0, helper.make_node("Shell", ["half"], ["unused"], domain="com.example"))
    graph.opset_import.append(helper.make_opsetid("com.example", 1))
    return predict(good, good.picture, run=with_graph(spoilt_run(good, here), graph.SerializeToString()))


@hostile("model", 5, "no finite numbers")
def graph_whose_weights_are_no_numbers(good: Good, here: Path) -> list[str]:
    graph = colour_graph(SIZE, 8)
    for tensor in graph.graph.initializer:
        if tensor.name == "matrix":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full((3, 8), np.nan, np.float32), "matrix"))
    return predict(good, good.picture, run=with_graph(spoilt_run(good, here), graph.SerializeToString()))


@hostile("model", 5, "a loop or a branch")
def graph_that_never_ends(good: Good, here: Path) -> list[str]:
    graph = colour_graph(SIZE, 8)
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["still"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, []),
        ],
    )
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array(2**62), "most"))
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    loop = helper.make_node("Loop", ["most", "yes", "scale"], ["scaled"], body=body)
    graph.graph.node.insert(0, loop)
    graph.graph.node[2].input[1] = "scaled"
    return predict(good, good.picture, run=with_graph(spoilt_run(good, here), graph.SerializeToString()))


@hostile("model", 5, "not uint8 faces of 32 pixels as model.json says")
def graph_of_other_shapes(good: Good, here: Path) -> list[str]:
    graph = colour_graph(2 * SIZE, 8).SerializeToString()
    return predict(good, good.picture, run=with_graph(spoilt_run(good, here), graph))


# --- settings and plans


def adapt(here: Path, text: str) -> list[str]:
    """Return the command that reads a settings file; there are no data, so a file that is accepted ends in code 3."""
    (here / "settings.toml").write_text(text, encoding="utf-8")
    nothing = str(here / "nothing")
    files = ["--config", str(here / "settings.toml"), "--out", str(here / "run")]
    return ["adapt", "--source", nothing, "--target", nothing, *files, "--quiet"]


def benchmark(here: Path, text: str) -> list[str]:
    """Return the command that shows a plan."""
    (here / "plan.toml").write_text(text, encoding="utf-8")
    return ["benchmark", str(here / "plan.toml"), "--out", str(here / "out"), "--plan"]


PLAN = """title = "Plan"
sources = [{name = "studio", data = "PACK"}]
targets = [{name = "street", data = "PACK?limit=20"}]
seeds = [0]
settings = {size = 32, pretrained = "no", network = {trunk = "test_byobnet", width = 32, groups = 4}}
methods = [{key = "source-only", name = "Source-only", settings = {method = "source_only"}}]
"""


@hostile("settings", 2, "cannot be read")
def settings_nested_a_hundred_thousand_deep(good: Good, here: Path) -> list[str]:
    return adapt(here, "options = " + "[" * 100_000)


@hostile("settings", 2, "cannot be read")
def key_of_a_hundred_thousand_parts(good: Good, here: Path) -> list[str]:
    return adapt(here, ".".join("a" * 100_000) + " = 1")


@hostile("settings", 2, "larger than")
def settings_of_300_megabytes(good: Good, here: Path) -> list[str]:
    command = adapt(here, "")
    with (here / "settings.toml").open("r+b") as file:
        file.truncate(300 << 20)
    return command


@hostile("settings", 2, "size")
def faces_of_a_million_pixels_a_side(good: Good, here: Path) -> list[str]:
    return adapt(here, "size = 1000000")


@hostile("settings", 2, "lr")
def learning_rate_that_is_no_number(good: Good, here: Path) -> list[str]:
    return adapt(here, "[source]\nlr = nan")


@hostile("settings", 2, "no model")
def trunk_from_a_strangers_hub(good: Good, here: Path) -> list[str]:
    return adapt(here, '[network]\ntrunk = "hf-hub:stranger/model"')


@hostile("settings", 2, "There is no setting")
def key_that_drives_the_terminal(good: Good, here: Path) -> list[str]:
    return adapt(here, '"\\u001b[2J\\u202e" = 1')


@hostile("plan", 2, "at most")
def plan_of_a_thousand_million_cells(good: Good, here: Path) -> list[str]:
    rows = ", ".join(f'{{key = "m{i}", name = "m"}}' for i in range(1000))
    seeds = ", ".join(map(str, range(1000)))
    text = PLAN.replace("seeds = [0]", f"seeds = [{seeds}]").replace("methods = [", f"methods = [{rows}, ")
    return benchmark(here, text.replace("PACK", str(good.pack)))


@hostile("plan", 2, "at most 60 characters")
def plan_whose_key_is_too_long_for_a_folder(good: Good, here: Path) -> list[str]:
    return benchmark(here, PLAN.replace('"source-only"', f'"{"a" * 5000}"').replace("PACK", str(good.pack)))


@hostile("plan", 0, "source stages")
def plan_whose_title_drives_the_terminal(good: Good, here: Path) -> list[str]:
    title = NASTY.replace("\x1b", "\\u001b").replace("\x07", "\\u0007") + "[bold]"
    return benchmark(here, PLAN.replace('"Plan"', f'"{title}"').replace("PACK", str(good.pack)))
