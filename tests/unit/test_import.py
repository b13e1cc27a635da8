"""What importing the package costs: nothing heavy, and nothing of the training half."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dcdan

CODE = """
import sys
import dcdan
{more}
heavy = {{"torch", "torchvision", "timm", "pyarrow", "matplotlib", "scipy", "onnxruntime", "cv2"}} - {allowed}
loaded = heavy & {{name.partition(".")[0] for name in sys.modules}}
assert not loaded, loaded
"""


@pytest.mark.parametrize(
    ("more", "allowed"),
    [
        ("", set()),
        ("assert dcdan.__version__ and dir(dcdan)", set()),
        ("dcdan.load; dcdan.Recogniser", {"onnxruntime", "cv2"}),
        (
            "import dcdan.packs.build, dcdan.datasets.registry; dcdan.datasets.registry.readers()",
            {"cv2"},
        ),
        ("import dcdan.core.atomic_io, dcdan.core.errors, dcdan.expressions", set()),
    ],
)
def test_torch_is_not_imported(more: str, allowed: set[str]) -> None:
    code = CODE.format(more=more, allowed=allowed or "set()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_are_there() -> None:
    for name in dcdan.__all__:
        assert getattr(dcdan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'recognize'"):
        dcdan.recognize  # noqa: B018
