"""A server of `dcdan app` as a process of its own, and a real browser without a window."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drawn import COUNT, photo

PHOTOS = 48
# The sandbox of the browser needs rights that a container seldom has.
CHROMIUM_OPTIONS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium of the system, driven by Playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    pytest.importorskip("uvicorn", reason="needs dcdan[app]")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs chromium")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield found
        found.close()


class Served:
    """A running `dcdan app`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", process.stdout.readline())
        assert found is not None
        self.address = found[0]
        self.root = self.address.partition("/?")[0]

    def kill(self) -> None:
        """End it as a loss of power would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def close(self) -> None:
        """End it as a user would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Start servers with these arguments; all are ended after the test."""
    started: list[Served] = []

    def start(*arguments: object) -> Served:
        command = [sys.executable, "-m", "dcdan", "app", *map(str, arguments), "--no-browser", "--threads", "1"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        started.append(Served(process))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a fresh profile; an error in a script fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    found = context.new_page()
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda told: errors.append(told.text) if "Content Security Policy" in told.text else None)
    found.set_default_timeout(60_000)
    yield found
    context.close()
    assert errors == []


@pytest.fixture(scope="session")
def drawn_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of drawn faces of two persons, each with noise of its own."""
    folder = tmp_path_factory.mktemp("app") / "Fötos von Zeichnungen"
    for number in range(PHOTOS):
        rng = np.random.default_rng(number)
        pixels = photo([[number % COUNT]]).astype(float) * rng.uniform(0.7, 1.1)
        noisy = np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
        person = folder / ("anna" if number % 2 else "ben")
        person.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy).save(person / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def drawn_run(drawn_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adaptation of the package's model to them, without labels; tests copy it."""
    from dcdan.adaptation.folder import OutputRun
    from dcdan.adaptation.job import adapt_to_faces

    out = tmp_path_factory.mktemp("app run") / "run"
    adapt_to_faces(OutputRun(target=str(drawn_photos)), out, threads=1)
    return out
