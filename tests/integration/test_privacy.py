"""A cold `dcdan predict` opens no socket and writes nothing outside its output, the cache and temporary folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from drawn import photo

OPENED = re.compile(r"(?:openat|open|creat|mkdir|mkdirat|rename|renameat|renameat2|unlink|unlinkat|link|symlink)\(")
WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
FREE = ("/dev/", "/proc/self/")


def traced(command: list[str], log: Path, environment: dict[str, str], folder: Path) -> list[str]:
    strace = shutil.which("strace")
    assert strace is not None
    calls = "trace=socket,connect,sendto,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat"
    done = subprocess.run(
        [strace, "-f", "-qq", "-s", "4096", "-e", calls, "-o", str(log), *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("this machine does not allow tracing")
    assert done.returncode == 0, done.stderr
    return log.read_text(errors="replace").splitlines()


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("strace") is None, reason="strace is not installed")
def test_a_cold_run_sends_nothing_and_writes_only_its_output(tmp_path: Path) -> None:
    """P1: traced with strace; without ``--offline``, so that nothing rests on that option."""
    home, work, temporary = tmp_path / "home", tmp_path / "work", tmp_path / "tmp"
    for folder in (home, work, temporary):
        folder.mkdir()
    cv2.imwrite(str(work / "photo.png"), photo([[0]])[..., ::-1])
    environment = {
        **{name: text for name, text in os.environ.items() if name not in ("DCDAN_OFFLINE", "ORT_DISABLE_TELEMETRY")},
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "dcdan", "predict", "photo.png", "--out", "faces.csv", "--threads", "1"]
    lines = traced(command, tmp_path / "trace", environment, work)
    assert any("photo.png" in line for line in lines)
    sockets = [line for line in lines if re.search(r"\b(socket|connect|sendto)\(", line)]
    assert [line for line in sockets if "AF_UNIX" not in line and "AF_LOCAL" not in line] == []
    allowed = (str(work), str(temporary), str(home / ".cache" / "dcdan"))
    outside = []
    for line in lines:
        if not OPENED.search(line) or re.search(r" = -1 ", line):
            continue
        if re.search(r"\bopen(at)?\(", line) and not WRITES.search(line):
            continue
        for name in QUOTED.findall(line):
            path = name if name.startswith("/") else str(work / name)
            if not path.startswith((*allowed, *FREE)):
                outside.append(line)
    assert outside == []
    assert (work / "faces.csv").is_file()
    assert list(home.rglob("*")) == []
