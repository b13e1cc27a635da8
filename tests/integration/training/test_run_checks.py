"""What a run checks before it trains, and what its files say of what ran."""

from __future__ import annotations

import logging
import shutil
import tomllib
from pathlib import Path

import pytest

from dcdan.core.errors import DataError, OutputError, PackError
from dcdan.training.run import train_run
from tiny_training import drawn, tiny


def test_a_changed_byte_of_a_pack_is_told_before_training(domains: tuple[Path, Path], tmp_path: Path) -> None:
    """S6."""
    pack = Path(shutil.copytree(domains[0], tmp_path / "pack"))
    content = bytearray((pack / "faces.npy").read_bytes())
    content[-7] ^= 1
    (pack / "faces.npy").write_bytes(content)
    with pytest.raises(PackError, match=r"faces\.npy"):
        train_run(str(pack), str(domains[1]), tmp_path / "run", tiny(), quiet=True)
    assert not (tmp_path / "run").exists()


def test_ten_target_faces_are_refused_before_training(domains: tuple[Path, Path], tmp_path: Path) -> None:
    """D6."""
    few = drawn(tmp_path / "few", "street", n=10)
    with pytest.raises(DataError, match=r"has \d+ faces, too few to adapt to: DCD-DAN needs at least 32"):
        train_run(str(domains[0]), str(few), tmp_path / "run", tiny(), quiet=True)
    assert not (tmp_path / "run").exists()


def test_the_configuration_says_what_ran(
    domains: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F6, and D4 where the classes are the same. The same command is known again; another is refused."""
    monkeypatch.setattr("dcdan.training.run.start_trunk", lambda *_: True)
    source, target = map(str, domains)
    settings = tiny("pretrained=auto", "source.lr=0.08", "source.epochs=0.25", method="source_only")
    out = tmp_path / "run"
    with caplog.at_level(logging.WARNING, "dcdan"):
        train_run(source, target, out, settings, quiet=True, source_stage_only=True)
    assert not caplog.records
    config = tomllib.loads((out / "config.toml").read_text())
    assert (config["source"]["lr"], config["source"]["head_ratio"], config["adaptation"]["lr"]) == (0.08, 10, 0.003)
    before = (out / "log.jsonl").read_bytes()
    train_run(source, target, out, settings, quiet=True, source_stage_only=True)
    assert (out / "log.jsonl").read_bytes() == before
    other = tiny("pretrained=auto", "source.lr=0.07", "source.epochs=0.25", method="source_only")
    with pytest.raises(OutputError, match="holds something else"):
        train_run(source, target, out, other, quiet=True, source_stage_only=True)
