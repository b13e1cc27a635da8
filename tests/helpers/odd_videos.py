"""Small odd videos, written with PyAV: frame i has brightness 4 i + 20 on the left and is red on the right."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SIZE = (96, 64)


def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return the frame of this number, (H, W, 3) uint8 RGB."""
    pixels = np.full((size[1], size[0], 3), 4 * index + 20, np.uint8)
    pixels[:, size[0] // 2 :] = (200, 0, 0)
    return pixels


def write_odd(
    path: Path,
    codec: str = "libx264",
    *,
    frames: int = 40,
    stamps: list[int] | None = None,
    rate: int = 10,
    size: tuple[int, int] = SIZE,
    aspect: Fraction | None = None,
    interlaced: bool = False,
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    container: dict[str, str] | None = None,
    sound: float = 0.0,
    cover: bool = False,
    gop: int = 10,
) -> Path:
    """Write a video; ``stamps`` are in tenths of a second, ``sound`` in seconds. Skips where PyAV lacks the encoder."""
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'dcdan[video]'")
    try:
        av.codec.Codec(codec, "w")
    except Exception:
        pytest.skip(f"this PyAV has no encoder {codec}")
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=rate, options=dict(options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = Fraction(1, rate)
        if interlaced:
            stream.options = {**stream.options, "flags": "+ildct+ilme", "x264-params": "tff=1"}
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        kind = "aac" if path.suffix in (".mp4", ".mov") else "mp2"
        audio = file.add_stream(kind, rate=44100, layout="mono") if sound else None
        attached = file.add_stream("mjpeg") if cover else None
        if attached is not None:
            attached.width, attached.height, attached.pix_fmt = 32, 32, "yuvj420p"
            attached.disposition = av.stream.Disposition.attached_pic
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, size), "rgb24").reformat(format=pixel_format)
            frame.pts = index if stamps is None else stamps[index]
            frame.time_base = Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        if audio is not None:
            _write_sound(av, file, audio, sound)
        if attached is not None:
            small = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 255, np.uint8), "rgb24")
            file.mux(attached.encode(small.reformat(format="yuvj420p")))
            file.mux(attached.encode())
    return path


def write_sound_only(path: Path, seconds: float = 1.0) -> Path:
    """Write a file with sound and nothing else."""
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'dcdan[video]'")
    with av.open(str(path), "w") as file:
        _write_sound(av, file, file.add_stream("aac", rate=44100, layout="mono"), seconds)
    return path


def _write_sound(av: Any, file: Any, stream: Any, seconds: float) -> None:
    for start in range(0, int(seconds * 44100), 1024):
        samples = np.zeros((1, 1024), np.float32 if stream.format.name == "fltp" else np.int16)
        form = stream.format.name if samples.dtype == np.float32 else "s16"
        frame = av.AudioFrame.from_ndarray(samples, format=form, layout="mono")
        frame.sample_rate, frame.pts = 44100, start
        file.mux(stream.encode(frame))
    file.mux(stream.encode())
