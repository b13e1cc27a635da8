"""What all views share: models that are loaded once, the folders that may be read, the run that is open."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dcdan.app.events import EventHub
from dcdan.core.errors import UsageError
from dcdan.core.limits import within

if TYPE_CHECKING:
    from dcdan.app.adaptation_job import AdaptationJob
    from dcdan.app.label_session import LabelSession
    from dcdan.inference.recogniser import Recogniser

STOP_SECONDS = 20.0
_LISTED = 500


@dataclass
class AppContext:
    """The state of one server.

    Attributes:
        out: folder of the runs that the page makes.
        model: the model or run of the command line; None for the package's.
        target: the folder of the command line whose faces are adapted to.
        run: the run folder whose faces are labelled; None while there is none.
        threads: of ONNX Runtime and OpenCV.
        hub: events.
        chosen: the model that the page uses now; None for ``model``.
        job: the last adaptation that the page started.
        stopping: set when the server ends; work in threads ends soon then.
        starting: held while an adaptation is started, so that two browsers cannot start two.
    """

    out: Path
    model: str | None = None
    target: str | None = None
    run: Path | None = None
    threads: int | None = None
    hub: EventHub = field(default_factory=EventHub)
    chosen: str | None = None
    job: AdaptationJob | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    starting: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _recognisers: dict[str, Recogniser] = field(default_factory=dict)
    _sessions: dict[Path, LabelSession] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spawn(self, work: Callable[[], None]) -> None:
        """Start a thread that :meth:`close` waits for: one that runs a network must not outlive the interpreter."""
        thread = threading.Thread(target=work, daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def close(self) -> None:
        """End all work; a running adaptation is saved and can be resumed."""
        self.stopping.set()
        if self.job is not None and self.job.state == "running":
            self.job.stop()
            self.job.wait(STOP_SECONDS)
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    def recogniser(self, name: str | None = None) -> Recogniser:
        """Return a model, which is loaded once; None for the one in use.

        Raises:
            UsageError: when it is none of :meth:`models`.
            ModelError: when it cannot be loaded.
        """
        from dcdan.inference.recogniser import load

        wanted = self.current if name is None else name
        if wanted not in self.models():
            raise UsageError(f"'{wanted}' is none of the models of this page: start `dcdan app MODEL` with it.")
        with self._lock:
            if wanted not in self._recognisers:
                self._recognisers[wanted] = load(wanted or None, threads=self.threads)
            return self._recognisers[wanted]

    def forget(self, folder: Path) -> None:
        """Load a run anew when it is next asked for, because it has changed."""
        with self._lock:
            for name in [name for name in self._recognisers if name and Path(name) == folder]:
                del self._recognisers[name]
            self._sessions.pop(folder, None)

    @property
    def current(self) -> str:
        """The model in use; empty for the package's."""
        return self.chosen if self.chosen is not None else (self.model or "")

    def models(self) -> list[str]:
        """Return the models that the page may use: of the command line, of the package, and runs in ``out``."""
        from dcdan.adaptation.folder import read_run
        from dcdan.inference.model_card import INFO_NAME
        from dcdan.inference.resolver import bundled_models

        runs = sorted(str(path.parent) for path in self.out.glob(f"*/{INFO_NAME}"))
        own: list[str] = []
        if self.run is not None:
            own = [str(self.run), read_run(self.run)[0].model]
        return list(dict.fromkeys([self.model or "", "", *own, *runs, *bundled_models()]))

    def session(self) -> LabelSession:
        """Return the labelling of the open run.

        Raises:
            UsageError: when no run is open.
        """
        from dcdan.app.label_session import LabelSession

        run = self.run
        if run is None:
            raise UsageError("There are no faces to label yet: adapt to a folder first.")
        with self._lock:
            if run not in self._sessions:
                self._sessions[run] = LabelSession(run, self.threads)
            return self._sessions[run]

    def targets(self) -> list[str]:
        """Return the folders that may be adapted to: the given one and its sub-folders, and the run's target."""
        found: list[str] = []
        for text in self._given():
            found.append(text)
            folder = Path(text)
            if folder.is_dir():
                inner = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
                found += [str(each) for each in inner[:_LISTED]]
        return list(dict.fromkeys(found))

    def check_target(self, text: str) -> str:
        """Return a target that lies within the given folders.

        Raises:
            UsageError: when it does not, or is gone.
        """
        given = self._given()
        if not given:
            raise UsageError("No folder was given: start `dcdan app --target FOLDER`.")
        if text in given and not Path(text).exists() and ":" in text:
            return text
        if not Path(text).is_dir() and text not in given:
            raise UsageError(f"'{text}' is no folder.")
        if not any(within(Path(each), Path(text)) for each in given):
            raise UsageError(f"'{text}' is outside the folder that was given: start `dcdan app --target` with it.")
        if not Path(text).exists():
            raise UsageError(f"'{text}' has vanished: put it back, or start `dcdan app --target` with another folder.")
        return text

    def _given(self) -> list[str]:
        from dcdan.adaptation.folder import read_run

        found = [self.target] if self.target else []
        if self.run is not None:
            found.append(read_run(self.run)[0].target)
        return list(dict.fromkeys(found))
