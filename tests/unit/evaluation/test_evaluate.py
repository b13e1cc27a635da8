"""A recogniser scored on packs: which images count, which classes may be chosen, what the report says."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcdan.core.errors import DataError, ModelError, PackError
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.evaluation.evaluate import choose_among, evaluate, evaluate_pack, labels_among
from dcdan.expressions import EXPRESSIONS
from dcdan.images.status import Status
from dcdan.inference.model_card import read_model_info
from dcdan.inference.session import SessionOutputs
from dcdan.packs.build import build_pack
from dcdan.packs.pack import Pack
from tiny_model import coloured, write_run
from tiny_training import listed

SURPRISE, FEAR, DISGUST, HAPPINESS = range(4)


def packed(folder: Path, rows: list[tuple[int, str, str]], size: int = 32) -> Path:
    """Pack pictures in the colour of a class (what the model will say), each with a label and a split."""
    folder.mkdir()
    for number, (colour, _, _) in enumerate(rows):
        Image.fromarray(coloured(colour, size)).save(folder / f"{number}.png")
    with (folder / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "split"])
        table.writerows([f"{number}.png", label, split] for number, (_, label, split) in enumerate(rows))
    reader = open_reader(parse_spec(f"manifest:{folder / 'table.csv'}"))
    build_pack(reader, folder / "pack", size=size, align="none", workers=1, progress=False)
    return folder / "pack"


def test_scores_are_those_of_the_right_images(run: Path, tmp_path: Path) -> None:
    rows = [(SURPRISE, "surprise", "test")] * 3 + [(FEAR, "surprise", "test"), (FEAR, "fear", "test")]
    rows += [(HAPPINESS, "fear", "train"), (FEAR, "", "test")]
    report = evaluate(run, packed(tmp_path / "data", rows))
    assert (report.split, report.images, report.unlabelled) == ("test", 5, 1)
    assert report.classes == ("surprise", "fear")
    assert report.confusion.tolist() == [[3, 1], [0, 1]]
    assert report.accuracy == pytest.approx(0.8)
    assert report.uar == pytest.approx((0.75 + 1.0) / 2)
    assert report.interval.low < 0.8 < report.interval.high
    every = evaluate(run, tmp_path / "data" / "pack", split="all")
    assert (every.split, every.images) == ("all", 6)


def test_classes_that_the_data_lacks_cannot_be_chosen(run: Path, tmp_path: Path) -> None:
    rows = [(SURPRISE, "surprise", ""), (FEAR, "fear", ""), (HAPPINESS, "surprise", ""), (DISGUST, "fear", "")]
    report = evaluate(run, packed(tmp_path / "data", rows))
    assert report.masked == EXPRESSIONS[2:]
    # Among black and blue, cyan is nearer to blue and green is as near to black as cyan to blue.
    assert report.confusion.tolist() == [[1, 1], [1, 1]]
    assert any("could not choose" in note for note in report.notes())


def test_images_of_classes_that_the_model_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", classes=("surprise", "fear"))
    rows = [(0, "surprise", ""), (1, "fear", ""), (0, "anger", ""), (1, "anger", ""), (1, "happiness", "")]
    report = evaluate(run, packed(tmp_path / "data", rows))
    assert report.images == 2
    assert report.left_out == {"happiness": 1, "anger": 2}
    assert report.masked == ()
    assert report.accuracy == 1.0


def test_the_order_of_the_models_classes_does_not_matter(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", classes=("fear", "surprise"))
    report = evaluate(run, packed(tmp_path / "data", [(0, "fear", ""), (1, "surprise", ""), (1, "fear", "")]))
    assert report.classes == ("surprise", "fear")
    assert report.confusion.tolist() == [[1, 0], [1, 1]]


def test_images_without_a_face_are_counted(run: Path, tmp_path: Path) -> None:
    pack = packed(tmp_path / "data", [(SURPRISE, "surprise", "test"), (FEAR, "fear", "train")])
    (tmp_path / "data" / "2.png").write_bytes(b"")
    with (tmp_path / "data" / "table.csv").open("a") as file:
        file.write("2.png,fear,test\r\n3.png,fear,train\r\n")
    reader = open_reader(parse_spec(f"manifest:{tmp_path / 'data' / 'table.csv'}"))
    build_pack(reader, pack, size=32, align="none", workers=1, progress=False, force=True)
    assert evaluate(run, pack).lost == {"empty": 1}
    assert evaluate(run, pack, split="train").lost == {"missing": 1}
    assert evaluate(run, pack, split="all").lost == {"empty": 1, "missing": 1}


def test_a_folder_is_packed_in_the_cache(run: Path, tmp_path: Path) -> None:
    for label, colour in (("happy", HAPPINESS), ("fear", FEAR)):
        (tmp_path / "faces" / label).mkdir(parents=True)
        Image.fromarray(coloured(colour)).save(tmp_path / "faces" / label / "a.png")
    report = evaluate(run, tmp_path / "faces", cache=tmp_path / "cache", progress=False)
    assert (report.images, report.accuracy, report.classes) == (2, 1.0, ("fear", "happiness"))
    assert any((tmp_path / "cache").iterdir())


def test_a_report_is_json_table_and_picture(run: Path, tmp_path: Path) -> None:
    from rich.console import Console

    rows = [(SURPRISE, "surprise", ""), (FEAR, "fear", ""), (SURPRISE, "fear", "")]
    report = evaluate(run, packed(tmp_path / "data", rows))
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content["per_class"]["fear"] == {"precision": 1.0, "recall": 0.5, "f1": 0.666667, "support": 2}
    assert content["accuracy_95"] == [round(end, 6) for end in report.interval]
    assert len(content["provenance"]["model_sha256"]) == len(content["provenance"]["faces_sha256"]) == 64
    console = Console(width=100, no_color=True)
    with console.capture() as captured:
        console.print(report.table())
    text = captured.get()
    assert "66.67 %" in text
    assert "macro-F1" in text
    assert report.confusion_png().startswith(b"\x89PNG")


def test_data_that_cannot_be_scored_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no labels"):
        evaluate(run, packed(tmp_path / "a", [(0, "", "")]))
    pack = packed(tmp_path / "b", [(0, "surprise", "train"), (1, "fear", "test")])
    with pytest.raises(DataError, match="Did you mean 'train'"):
        evaluate(run, pack, split="trian")
    other = write_run(tmp_path / "other", classes=("anger", "neutral"))
    with pytest.raises(DataError, match="no class in common"):
        evaluate(other, pack)
    with pytest.raises(PackError, match="32"):
        evaluate(write_run(tmp_path / "large", size=48), pack)
    with pytest.raises(ModelError, match="no model"):
        evaluate(tmp_path / "nix", pack)


def test_masked_probabilities_are_scaled_to_one() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0], [1.0, 0.0, 0.0]], np.float32)
    none = np.zeros(3, np.int64)
    outputs = SessionOutputs(
        probabilities, probabilities.argmax(1), probabilities.max(1), none, np.zeros((3, 5), np.float32)
    )
    choice, confidence = choose_among(outputs, np.array([2, 1]))
    assert choice.tolist() == [1, 1, 0]
    assert confidence.tolist() == pytest.approx([0.6, 1.0, 0.5])


def test_with_all_classes_the_models_own_choice_stands() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2]], np.float32)
    outputs = SessionOutputs(
        probabilities, np.array([1]), np.array([0.7], np.float32), np.array([2]), np.zeros((1, 5), np.float32)
    )
    choice, confidence = choose_among(outputs, np.array([2, 1, 0]))
    assert choice.tolist() == [1]
    assert confidence.tolist() == pytest.approx([0.7])


def test_labels_among_other_classes_leave_out_what_has_none_of_them(tmp_path: Path) -> None:
    rows = [("fear", ""), ("", ""), ("neutral", ""), ("anger", "")]
    pack = Pack.open(listed(tmp_path / "pack", ("fear", "anger", "neutral"), rows))
    assert labels_among(("neutral", "fear"), pack).tolist() == [1, -1, 0, -1]


def test_one_class_of_faces_is_no_accuracy(run: Path, tmp_path: Path) -> None:
    """D5: faces of one class alone, and of one class of a table of several: what 100 % is worth stands beside it."""
    alone = evaluate(run, packed(tmp_path / "one", [(SURPRISE, "surprise", ""), (HAPPINESS, "surprise", "")]))
    assert (alone.accuracy, alone.chance, alone.majority, alone.classes_with_faces) == (1.0, 1.0, 1.0, 1)
    assert alone.unmasked_accuracy == 0.5
    assert any("Choosing among all its classes it reaches 50.0 %" in note for note in alone.notes())
    assert any(note.startswith("Faces of 1 class only, of 8 that the model knows") for note in alone.notes())
    rows = [(SURPRISE, "surprise", "test")] * 3 + [(FEAR, "fear", "train"), (FEAR, "disgust", "train")]
    one_of_three = evaluate(run, packed(tmp_path / "three", rows))
    assert (one_of_three.accuracy, one_of_three.uar, one_of_three.macro_f1) == (1.0, 1.0, 1.0)
    assert one_of_three.chance == pytest.approx(1 / 3)
    assert (one_of_three.classes_with_faces, one_of_three.empty_classes) == (1, ("fear", "disgust"))
    content = one_of_three.to_dict()
    assert (content["chance"], content["majority"], content["classes_with_faces"]) == (0.333333, 1.0, 1)


def test_two_classes_and_an_accuracy_below_the_majority_are_told(run: Path, tmp_path: Path) -> None:
    """D5: nine of ten faces are of one class, and the model has eight of ten right."""
    rows = [(SURPRISE, "surprise", "")] * 7 + [(FEAR, "surprise", "")] * 2 + [(FEAR, "fear", "")]
    report = evaluate(run, packed(tmp_path / "data", rows))
    assert (report.accuracy, report.majority, report.chance) == (0.8, 0.9, 0.5)
    text = " ".join(report.notes())
    assert "Faces of 2 classes only, of 8 that the model knows" in text
    assert "Accuracy is not above the 90.0 % of always answering the commonest class." in text
    from rich.console import Console

    console = Console(width=120, no_color=True)
    with console.capture() as captured:
        console.print(report.table())
    assert "always the commonest class  90.00 %" in captured.get()
    assert "chance                      50.00 %" in captured.get()
    assert "the 2 classes with faces" in captured.get()


def test_few_faces_say_how_many_are_needed(run: Path, tmp_path: Path) -> None:
    """D6: ten pictures; the sentence names the width of the interval and the faces that narrow it."""
    report = evaluate(run, packed(tmp_path / "data", [(0, "surprise", ""), (1, "fear", "")] * 5))
    low, high = report.interval
    (note,) = [note for note in report.notes() if "faces are few" in note]
    assert note == (
        f"10 faces are few: the 95 % interval is {100 * (high - low):.0f} points wide."
        " 93 faces give +- 10 points, 381 faces +- 5."
    )
    many = evaluate(run, packed(tmp_path / "many", [(0, "surprise", ""), (1, "fear", "")] * 50))
    assert not [note for note in many.notes() if "faces are few" in note]


class Answering:
    """A recogniser that gives fixed probabilities."""

    def __init__(self, run: Path, probabilities: list[list[float]]) -> None:
        self.info = read_model_info(run)
        self.provenance: dict[str, str] = {}
        self.probabilities = np.array(probabilities, np.float32)

    def recognise_faces(self, faces: np.ndarray) -> SessionOutputs:
        p = self.probabilities
        assert len(faces) == len(p)
        return SessionOutputs(p, p.argmax(1), p.max(1), np.zeros(len(p), np.int64), np.zeros((len(p), 5), np.float32))


def test_confidences_and_calibration_error_are_those_of_the_model(tmp_path: Path) -> None:
    """T: the report's confidences are the probabilities of the choices, face by face; ECE by hand."""
    run = write_run(tmp_path / "run", classes=("surprise", "fear"))
    pack = Pack.open(packed(tmp_path / "data", [(0, "surprise", ""), (1, "fear", ""), (1, "fear", "")]))
    report = evaluate_pack(Answering(run, [[0.7, 0.3], [0.9, 0.1], [0.45, 0.55]]), pack, data="x")
    assert report.confidence.tolist() == pytest.approx([0.7, 0.9, 0.55])
    assert report.correct.tolist() == [True, False, True]
    assert report.confusion.tolist() == [[1, 0], [1, 1]]
    assert report.calibration_error == pytest.approx((0.3 + 0.9 + 0.45) / 3)
    assert report.to_dict()["ece"] == pytest.approx(0.55)
    assert report.unmasked_accuracy == report.accuracy == pytest.approx(2 / 3)


def test_rows_of_the_confusion_matrix_are_labels(run: Path, tmp_path: Path) -> None:
    """T: two of three faces labelled surprise are predicted as fear, none the other way."""
    rows = [(FEAR, "surprise", "")] * 2 + [(SURPRISE, "surprise", ""), (FEAR, "fear", ""), (DISGUST, "disgust", "")]
    report = evaluate(run, packed(tmp_path / "data", rows))
    assert report.confusion.tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 1]]
    content = report.to_dict()
    assert content["per_class"]["surprise"]["recall"] == pytest.approx(1 / 3, abs=1e-6)
    assert content["per_class"]["fear"]["precision"] == pytest.approx(1 / 3, abs=1e-6)


def test_deciders_and_faces_in_batches_add_up(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces are answered in batches: the last face of one and the first of the next are neither lost nor twice."""
    rows = [(SURPRISE, "surprise", ""), (FEAR, "fear", ""), (DISGUST, "disgust", ""), (FEAR, "disgust", "")] * 2
    pack = packed(tmp_path / "data", rows)
    whole = evaluate(run, pack)
    monkeypatch.setattr("dcdan.evaluation.evaluate._FACES_AT_A_TIME", 3)
    parts = evaluate(run, pack)
    assert parts.confidence.tolist() == pytest.approx(whole.confidence.tolist())
    assert np.array_equal(parts.correct, whole.correct)
    assert np.array_equal(parts.confusion, whole.confusion)
    assert parts.decided_by == whole.decided_by
    assert sum(parts.decided_by.values()) == 8


def test_the_checksum_in_the_report_is_of_the_faces_that_were_read(run: Path, tmp_path: Path) -> None:
    """S21: it is computed, and a changed byte ends the evaluation."""
    pack = packed(tmp_path / "data", [(SURPRISE, "surprise", ""), (FEAR, "fear", "")])
    faces = pack / "faces.npy"
    expected = hashlib.sha256(faces.read_bytes()).hexdigest()
    assert evaluate(run, pack).provenance["faces_sha256"] == expected
    content = bytearray(faces.read_bytes())
    content[-1] ^= 1
    faces.write_bytes(content)
    with pytest.raises(PackError, match="damaged"):
        evaluate(run, pack)


def test_faces_that_could_not_be_aligned_are_counted(tmp_path: Path) -> None:
    """T: those that were kept as they came, and not the others."""
    run = write_run(tmp_path / "run", classes=("surprise", "fear"))
    pack = Pack.open(packed(tmp_path / "data", [(0, "surprise", ""), (1, "fear", ""), (1, "fear", "")]))
    vars(pack)["statuses"] = np.array([Status.OK, Status.NOT_ALIGNED, Status.OK])
    report = evaluate_pack(Answering(run, [[0.7, 0.3], [0.1, 0.9], [0.1, 0.9]]), pack, data="x")
    assert report.not_aligned == 1
    assert any(note.startswith("1 faces could not be aligned") for note in report.notes())


def test_unmasked_accuracy_counts_in_the_models_own_classes(run: Path, tmp_path: Path) -> None:
    """D5: fear and disgust are the second and third class of the model, and the first and second of the data."""
    report = evaluate(run, packed(tmp_path / "data", [(FEAR, "fear", ""), (DISGUST, "disgust", "")]))
    assert (report.accuracy, report.unmasked_accuracy) == (1.0, 1.0)
