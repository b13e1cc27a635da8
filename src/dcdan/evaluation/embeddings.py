"""The t-SNE embedding of source and target faces by the features of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dcdan.plots.embeddings import Embedded, tsne

if TYPE_CHECKING:
    from dcdan.packs.pack import Pack

FACES = 600
"""Faces of each domain in a picture: more are slower and only darker."""


def embed(run: Path, source: Pack, target: Pack, seed: int = 0) -> tuple[Embedded, tuple[str, ...]]:
    """Embed faces of both domains by the features of a run's network.

    Args:
        run: the run folder.
        source: labelled source pack of the run's face size; the labels only choose colours.
        target: labelled target pack of the same size.
        seed: seed of the choice of faces and of t-SNE.

    Returns:
        The embedding of global and local features, and the class names of the run.

    Raises:
        ModelError: when the run is not finished or is damaged.
    """
    import torch

    from dcdan.evaluation.evaluate import labels_among
    from dcdan.training.forward import predict_features
    from dcdan.training.model_selection.epoch_evaluation import subsample
    from dcdan.training.pretrained import network_of

    network, _, classes = network_of(run)
    packs = source, target
    rows = [subsample(pack.select(), FACES, seed) for pack in packs]
    seen = [
        predict_features(network, pack.faces, own, torch.device("cpu"), source=pack is source, bf16=False)
        for pack, own in zip(packs, rows, strict=True)
    ]
    of_global, of_local = (
        tsne(np.concatenate([getattr(part, name).numpy() for part in seen]), seed) for name in ("of_global", "of_local")
    )
    domain = np.repeat([0, 1], [len(own) for own in rows])
    label = np.concatenate([labels_among(classes, pack)[own] for pack, own in zip(packs, rows, strict=True)])
    return Embedded(of_global, of_local, domain, label), classes
