"""Data sets that tests write in the layouts of their releases: real file names, real headers, drawn pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from drawn_data import FERPLUS_HEADER, picture, write_picture

FER_FOLDERS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
FERPLUS_FOLDERS = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "suprise")
SFEW_FOLDERS = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
CK48_FOLDERS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
OULU_FOLDERS = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")


def write_grey(path: Path, seed: int = 0, width: int = 48, height: int = 48) -> Path:
    """Write a picture of one channel, as a file's header then says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = cv2.resize(picture(seed, 48, channels=1)[:, :, 0], (width, height), interpolation=cv2.INTER_NEAREST)
    assert cv2.imwrite(str(path), grey)
    return path


def pixel_text(seed: int) -> str:
    """Return the pixels of the drawn picture of a seed, 48 x 48, as fer2013.csv writes them."""
    return " ".join(map(str, picture(seed, 48, channels=1)[:, :, 0].ravel().tolist()))


def write_pixels(file: Path, rows: Sequence[tuple[int, str]]) -> Path:
    """Write fer2013.csv from (emotion code, usage); row i shows the picture of seed i."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{code},{pixel_text(seed)},{usage}" for seed, (code, usage) in enumerate(rows)]
    file.write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    return file


def write_votes(file: Path, rows: Sequence[tuple[str, str, Sequence[int]]]) -> Path:
    """Write fer2013new.csv alone from (usage, name, ten votes)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join([usage, name, *map(str, votes)]) for usage, name, votes in rows]
    file.write_text("\n".join([FERPLUS_HEADER, *lines]) + "\n")
    return file


def write_split_folders(root: Path, splits: Sequence[str], folders: Sequence[str], each: int = 1) -> Path:
    """Write {split}/{folder}/*.jpg, grey thumbnails of 48 x 48, as the copies of FER2013 on Kaggle."""
    for number, split in enumerate(splits):
        for place, folder in enumerate(folders):
            for index in range(each):
                seed = 100 * number + 10 * place + index
                write_grey(root / split / folder / f"{split.title()}_{seed}.jpg", seed)
    return root


def write_sfew(root: Path, places: Mapping[str, str], width: int, height: int) -> Path:
    """Write two frames for each class folder in `places`, split -> way to its class folders."""
    for number, (split, way) in enumerate(places.items()):
        for place, folder in enumerate(SFEW_FOLDERS):
            for index, film in enumerate(("AboutABoy", "Harry_Potter_1")):
                name = f"{film}_0001552{place}{number}_0000000{index + 1}.png"
                path = root / way / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                image = cv2.resize(picture(10 * place + index), (width, height))
                assert cv2.imwrite(str(path), image), split
    return root


JAFFE_NAMES = ("KA.AN1.39", "KA.NE3.28", "KL.DI3.172", "KM.FE2.24", "KR.HA1.74", "MK.SA1.131", "UY.SU3.145")


def write_jaffe(root: Path, names: Sequence[str] = JAFFE_NAMES, ending: str = ".tiff") -> Path:
    """Write portraits under their names, 256 x 256."""
    for seed, name in enumerate(names):
        write_grey(root / f"{name}{ending}", seed, 256, 256)
    return root


def write_sequence(folder: Path, subject: str, number: str, frames: int) -> Path:
    """Write the frames of one sequence of CK+, numbered from one."""
    for frame in range(1, frames + 1):
        write_grey(folder / subject / number / f"{subject}_{number}_{frame:08d}.png", frame, 64, 49)
    return folder


def write_emotion(folder: Path, subject: str, number: str, text: str, frame: int = 11) -> Path:
    """Write the label of one sequence of CK+, as text."""
    file = folder / subject / number / f"{subject}_{number}_{frame:08d}_emotion.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def write_ckplus(root: Path, images: str = "cohn-kanade-images", labels: str = "Emotion") -> Path:
    """Write four labelled sequences of three subjects, and two without a label."""
    codes = {("S005", "001"): 3, ("S010", "002"): 7, ("S010", "004"): 1, ("S501", "004"): 2}
    for (subject, number), code in codes.items():
        write_sequence(root / images, subject, number, 6)
        write_emotion(root / labels, subject, number, f"   {code:.7e}\n")
    write_sequence(root / images, "S005", "003", 4)
    write_sequence(root / images, "S010", "001", 4)
    # The release has a folder without a file for a sequence without a label.
    (root / labels / "S010" / "001").mkdir()
    return root


def write_ck48(root: Path, folders: Sequence[str] = CK48_FOLDERS) -> Path:
    """Write one sequence of three frames for each class."""
    for place, folder in enumerate(folders):
        for frame in (15, 16, 17):
            write_grey(root / folder / f"S0{10 + place}_004_{frame:08d}.png", 10 * place + frame)
    return root


def write_oulu(root: Path, conditions: Sequence[str] = ("VL_Acropped/Strong",), frames: int = 9) -> Path:
    """Write two people with all six sequences in each condition, frames numbered from 000."""
    for condition in conditions:
        for person in ("P001", "P051"):
            for place, folder in enumerate(OULU_FOLDERS):
                for frame in range(frames):
                    write_picture(root / condition / person / folder / f"{frame:03d}.jpeg", 10 * place + frame)
    return root


def faces_of(seeds: Sequence[int]) -> np.ndarray:
    """Return the drawn pictures of the seeds (N, 48, 48) uint8, as `write_pixels` wrote them."""
    return np.stack([picture(seed, 48, channels=1)[:, :, 0] for seed in seeds])
