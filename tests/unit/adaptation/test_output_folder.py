"""Which folders a run without a source set may be written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcdan.adaptation.folder import OutputRun, check_free
from dcdan.core.errors import OutputError


def test_a_folder_that_holds_a_model_is_refused(tmp_path: Path) -> None:
    """A model that stands in --out is never mixed with that of the run; --force replaces it."""
    settings = OutputRun(target="photos")
    check_free(tmp_path, settings, force=False)
    check_free(tmp_path / "new", settings, force=False)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(OutputError, match="holds a model"):
        check_free(tmp_path, settings, force=False)
    check_free(tmp_path, settings, force=True)
    (tmp_path / "model.json").unlink()
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(OutputError, match="another run"):
        check_free(tmp_path, settings, force=False)
