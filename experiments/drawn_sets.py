"""Seven sets of drawn faces in the exact layouts of the paper's data sets, each with a look of its own.

    python experiments/drawn_sets.py runs/drawn --faces 140
    dcdan benchmark runs/drawn/plan.toml --roots runs/drawn/roots.toml --out runs/drawn/table
    dcdan paper --results runs/drawn/table/results --out runs/drawn/paper

The readers of the real sets read them. `plan.toml` is experiments/paper.toml at a small setting: 32 px, random weights,
a few epochs, one seed; sources, targets, trunks and rows are the same. The figures say nothing about real faces: they
show that the four tables fill.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from dcdan.core.atomic_io import write_text
from dcdan.datasets.synthetic.domains import draw_face
from dcdan.datasets.synthetic.identity import draw_identity
from dcdan.expressions import EXPRESSIONS

SEVEN = EXPRESSIONS[:7]
Image = np.ndarray
RAF = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
EXPW = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
CKPLUS = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
SFEW = {"anger": "Angry", "disgust": "Disgust", "fear": "Fear", "happiness": "Happy", "neutral": "Neutral",
        "sadness": "Sad", "surprise": "Surprise"}  # fmt: skip
JAFFE = {"anger": "AN", "disgust": "DI", "fear": "FE", "happiness": "HA", "neutral": "NE", "sadness": "SA",
         "surprise": "SU"}  # fmt: skip
SUBJECTS = ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM")
ROOTS = {"FERPLUS": "FERPlus", "RAFDB": "RAF-DB", "AFFECTNET": "AffectNet", "EXPW": "ExpW", "SFEW": "SFEW_2.0",
         "JAFFE": "JAFFE", "CKPLUS": "CK+"}  # fmt: skip
"""Name in a plan -> folder."""


def grey(picture: Image) -> Image:
    """Return a picture (H, W, 3) without colour, (H, W)."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def film(picture: Image) -> Image:
    """Return a dark, bluish picture with more contrast, as a film frame."""
    graded = 255 * (picture / 255.0) ** 1.6 * np.array([0.75, 0.85, 1.0])
    return np.asarray(graded.clip(0, 255), np.uint8)


def warm(picture: Image) -> Image:
    """Return a warm, soft picture."""
    soft = cv2.GaussianBlur(picture, (0, 0), picture.shape[0] / 90)
    return np.asarray((soft * np.array([1.08, 1.0, 0.82])).clip(0, 255), np.uint8)


def lamp(picture: Image) -> Image:
    """Return a grey picture (H, W) that is lit from the left."""
    field = np.linspace(1.25, 0.55, picture.shape[1])
    return np.asarray((grey(picture) * field).clip(0, 255), np.uint8)


def drawn(
    seed: int, domain: str, size: int, count: int, classes: tuple[str, ...] = SEVEN
) -> Iterator[tuple[str, Image]]:
    """Yield (expression, picture) of `count` faces, the expressions in turn, a person for each turn."""
    for index in range(count):
        person = draw_identity(np.random.default_rng([seed, index // len(classes)]))
        expression = classes[index % len(classes)]
        yield expression, draw_face(np.random.default_rng([seed, index, 1]), expression, domain, size, person)[0]


def save(path: Path, picture: Image, *options: int) -> None:
    """Write a picture in RGB or grey; the suffix decides the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found, data = cv2.imencode(path.suffix, picture if picture.ndim == 2 else picture[:, :, ::-1], options)
    assert found
    path.write_bytes(data.tobytes())


def is_test(index: int, classes: int = 7) -> bool:
    """Return whether a face is for the test: every fourth person is."""
    return index // classes % 4 == 3


def write_ferplus(root: Path, count: int) -> None:
    """Grey, 48 px, from the street, with ten votes; `fer2013new.csv` and a folder for each part."""
    rows = []
    for index, (expression, picture) in enumerate(drawn(1, "street", 48, count, (*SEVEN, "contempt"))):
        usage, folder = [("Training", "Train"), ("PublicTest", "Valid"), ("PrivateTest", "Test")][
            0 if not is_test(index, 8) else 1 + index % 2
        ]
        name = f"fer{index:07d}.png"
        save(root / "data" / f"FER2013{folder}" / name, grey(picture))
        votes = [8 if each == expression else 0 for each in FERPLUS]
        votes[(FERPLUS.index(expression) + 1) % 8] += 2
        rows.append([usage, name, *votes, 0, 0])
    header = ["Usage", "Image name", *FERPLUS, "unknown", "NF"]
    with (root / "fer2013new.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def write_rafdb(root: Path, count: int) -> None:
    """Colour, 100 px, from the street; the list of `EmoLabel` and aligned pictures."""
    lines = []
    for index, (expression, picture) in enumerate(drawn(2, "street", 100, count)):
        name = f"{'test' if is_test(index) else 'train'}_{index + 1:05d}"
        save(root / "basic" / "Image" / "aligned" / f"{name}_aligned.jpg", picture, cv2.IMWRITE_JPEG_QUALITY, 92)
        lines.append(f"{name}.jpg {RAF.index(expression) + 1}\n")
    write_text(root / "basic" / "EmoLabel" / "list_patition_label.txt", "".join(lines))


def write_affectnet(root: Path, count: int) -> None:
    """Warm and soft, 96 px; the newer release with an array for each annotation."""
    for index, (expression, picture) in enumerate(drawn(3, "street", 96, count, (*SEVEN, "contempt"))):
        part = root / ("val_set" if is_test(index, 8) else "train_set")
        save(part / "images" / f"{index}.jpg", warm(picture), cv2.IMWRITE_JPEG_QUALITY, 85)
        (part / "annotations").mkdir(parents=True, exist_ok=True)
        for kind, value in (("exp", AFFECTNET.index(expression)), ("val", 0.1), ("aro", 0.2)):
            np.save(part / "annotations" / f"{index}_{kind}.npy", np.array(str(value)))
        points = np.tile(np.array([48.0, 48.0]), 68)
        np.save(part / "annotations" / f"{index}_lnd.npy", points)


def write_expw(root: Path, count: int) -> None:
    """Faces in larger scenes, strongly compressed; `label.lst` with a box for each."""
    lines = []
    for index, (expression, picture) in enumerate(drawn(4, "street", 90, count)):
        rng = np.random.default_rng([4, index, 2])
        scene = np.full((200, 260, 3), rng.integers(60, 200, 3), np.uint8)
        top, left = int(rng.integers(0, 110)), int(rng.integers(0, 170))
        scene[top : top + 90, left : left + 90] = picture
        name = f"scene_{expression}_{index}.jpg"
        save(root / "data" / "image" / "origin" / name, scene, cv2.IMWRITE_JPEG_QUALITY, 40)
        lines.append(f"{name} 0 {top} {left} {left + 90} {top + 90} 60.0 {EXPW.index(expression)}\n")
    write_text(root / "data" / "label" / "label.lst", "".join(lines))


def write_sfew(root: Path, count: int) -> None:
    """Dark film frames of 143 x 181; class folders in Train and Val."""
    for index, (expression, picture) in enumerate(drawn(5, "street", 143, count)):
        part = "Val" if is_test(index) else "Train"
        frame = cv2.copyMakeBorder(film(picture), 19, 19, 0, 0, cv2.BORDER_REPLICATE)
        name = f"Film{index // 7:02d}_{index:09d}_00000001.png"
        save(root / part / f"{part}_Aligned_Faces" / SFEW[expression] / name, frame)


def write_jaffe(root: Path, count: int) -> None:
    """Grey studio portraits of 256 px of ten subjects, in one folder."""
    for index, (expression, picture) in enumerate(drawn(6, "studio", 256, count)):
        subject, take = SUBJECTS[index // 7 % len(SUBJECTS)], 1 + index // (7 * len(SUBJECTS))
        save(root / f"{subject}.{JAFFE[expression]}{take}.{index + 1}.tiff", grey(picture))


def write_ckplus(root: Path, count: int) -> None:
    """Grey studio sequences of four frames, lit from the left, with the code of the last frame."""
    expressive = tuple(name for name in SEVEN if name != "neutral")
    for index, (expression, _) in enumerate(drawn(7, "studio", 32, count, expressive)):
        person = draw_identity(np.random.default_rng([7, index // len(expressive)]))
        subject, number = f"S{5 + index // len(expressive):03d}", f"{1 + index % len(expressive):03d}"
        for frame in range(1, 5):
            shown = "neutral" if frame == 1 else expression
            picture = draw_face(np.random.default_rng([7, index, frame]), shown, "studio", 128, person)[0]
            save(root / "cohn-kanade-images" / subject / number / f"{subject}_{number}_{frame:08d}.png", lamp(picture))
        label = root / "Emotion" / subject / number / f"{subject}_{number}_{4:08d}_emotion.txt"
        write_text(label, f"   {CKPLUS.index(expression):.7e}\n")


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "FERPLUS": write_ferplus,
    "RAFDB": write_rafdb,
    "AFFECTNET": write_affectnet,
    "EXPW": write_expw,
    "SFEW": write_sfew,
    "JAFFE": write_jaffe,
    "CKPLUS": write_ckplus,
}


def small_plan(text: str) -> str:
    """Return the text of the paper's plan at a setting of seconds for a cell."""
    start, end = text.index("[settings]"), text.index("[[sources]]")
    settings = """[settings]
size = 32
align = "none"
pretrained = "no"
precision = "fp32"
network = { width = 64 }
[settings.source]
epochs = 3
batch = 16
[settings.adaptation]
epochs = 1
batch = 16

"""
    text = text[:start] + settings + text[end:]
    text = re.sub(r"^seeds = .*$", "seeds = [0]", text, flags=re.MULTILINE)
    text = re.sub(
        r'^caption = """.*?"""$', 'caption = "Drawn faces; see experiments/drawn_sets.py."', text, flags=re.S | re.M
    )
    text = re.sub(r"^faces = \d+\n", "", text, flags=re.MULTILINE)
    return text.replace('title = "The tables of the paper"', 'title = "The tables of the paper, with drawn faces"')


def write_sets(out: Path, faces: int) -> None:
    """Write the seven sets, `roots.toml` and `plan.toml`."""
    for name, folder in ROOTS.items():
        WRITERS[name](out / folder, faces)
    write_text(out / "roots.toml", "".join(f'{name} = "{folder}"\n' for name, folder in ROOTS.items()))
    plan = Path(__file__).with_name("paper.toml").read_text(encoding="utf-8")
    write_text(out / "plan.toml", small_plan(plan))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", type=int, default=280, help="faces of each set")
    arguments = parser.parse_args()
    write_sets(arguments.out, arguments.faces)
