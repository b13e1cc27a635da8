"""Score a recogniser on labelled faces, on the classes that the model and the data have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import DataError, PackError, nearest
from dcdan.core.outputs import DECIDERS
from dcdan.evaluation.groups import check_columns, score_by
from dcdan.evaluation.report import Report
from dcdan.expressions import common_classes
from dcdan.images.status import Status
from dcdan.inference.model_card import ModelInfo
from dcdan.inference.recogniser import Recogniser, load
from dcdan.inference.session import SessionOutputs
from dcdan.metrics.classification import confusion_matrix
from dcdan.packs.format import FACES

if TYPE_CHECKING:
    from dcdan.packs.pack import Pack

ALL = "all"
_FACES_AT_A_TIME = 1024
_OTHER_CLASS, _UNLABELLED = -1, -2


class FaceRecogniser(Protocol):
    """The interface that can be scored: a :class:`Recogniser`, or a network without a graph (``TorchRecogniser``)."""

    @property
    def info(self) -> ModelInfo:
        """The model's description."""

    @property
    def provenance(self) -> dict[str, str]:
        """Versions of the software, and the checksum of the model file."""

    def recognise_faces(self, faces: NDArray[np.uint8]) -> SessionOutputs:
        """Recognise aligned faces.

        Args:
            faces: ``(N, S, S, 3)`` or ``(N, S, S)`` uint8.

        Returns:
            The outputs for N faces.
        """


def evaluate(
    model: str | Path | Recogniser | None,
    data: str | Path,
    *,
    split: str | None = None,
    by: Sequence[str] = (),
    cache: Path | None = None,
    threads: int | None = None,
    progress: bool = True,
) -> Report:
    """Score a model on a labelled data set.

    Args:
        model: a recogniser that is loaded already, or what :func:`dcdan.load` accepts; None for the default model.
        data: a pack, a spec (``reader:path?option=value``) or a folder with one sub-folder per expression. Faces are
            aligned in the way and at the size that the model was trained with.
        split: the split to score, or ``all``; None takes ``test`` where there is one and all images otherwise.
        by: columns of groups to score separately: groups of the data (``gender``, ``group.age``), or ``size``,
            ``blur``, ``yaw`` and ``brightness`` of the faces.
        cache: folder for the packs that are built on the way (default ``$DCDAN_CACHE`` or ``~/.cache/dcdan/packs``).
        progress: whether to show a bar while a pack is built (on a terminal only).
        threads: threads for the network when ``model`` is a folder; None for all cores.

    Returns:
        The report: accuracy with its interval, chance, majority, macro-F1, UAR, calibration error, confusion matrix.

    Raises:
        ModelError: there is no usable model.
        PackError: the pack is damaged, or holds faces of another size than the model reads.
        DataError: the data has no labels, no such split, or no class in common with the model.
        UsageError: a column of groups is unknown.

    Example:
        >>> report = evaluate("runs/mine", "ferplus:/data/FERPlus", split="test")  # doctest: +SKIP
        >>> report.accuracy, report.interval, report.uar  # doctest: +SKIP
    """
    from dcdan.packs.build import pack_for

    recogniser = model if isinstance(model, Recogniser) else load(model, threads=threads, align="none")
    face = recogniser.info.face
    pack = pack_for(str(data), face.size, align=face.align, cache=cache, progress=progress)
    return evaluate_pack(recogniser, pack, data=str(data), split=split, by=by)


def evaluate_pack(
    recogniser: FaceRecogniser, pack: Pack, *, data: str, split: str | None = None, by: Sequence[str] = ()
) -> Report:
    """Score a recogniser on an open pack with labels.

    Args:
        recogniser: answers aligned faces.
        pack: the pack. Its files are read and compared with their checksums first.
        data: name of the data in the report.
        split: the split to score, or ``all``; None takes ``test`` where there is one and all images otherwise.
        by: columns of groups; see :func:`evaluate`.

    Returns:
        The report.

    Raises:
        UsageError: a column of groups is unknown.
        PackError: the pack is damaged, or holds faces of another size than the model reads.
        DataError: the data has no labels, no such split, or no class in common with the model.
    """
    info = recogniser.info
    if pack.size != info.face.size:
        raise PackError(
            f"The pack '{data}' has faces of {pack.size} pixels and the model reads {info.face.size}:"
            f" build it again with `dcdan pack ... --size {info.face.size}`."
        )
    grouped_by = check_columns(by, tuple(pack.groups)) if by else []
    pack.verify()  # so that the checksum in the report is that of the faces that were read
    labels = np.asarray(pack.labels)
    if not (labels >= 0).any():
        raise DataError(f"'{data}' has no labels, so nothing can be scored: give labelled data.")
    classes = common_classes(info.classes, pack.classes)
    if not classes:
        raise DataError(
            f"'{data}' ({', '.join(pack.classes)}) and the model ({', '.join(info.classes)}) have no class in common."
        )
    scored, rows = rows_to_score(pack, split, data)
    labels = labels[rows]
    own = class_indices(pack.classes, classes)
    truth = np.where(labels >= 0, own[labels], _UNLABELLED)
    scored_rows, truth_scored = rows[truth >= 0], truth[truth >= 0]
    if not len(scored_rows):
        raise DataError(f"No image of '{data}' (split {scored}) has one of the classes {', '.join(classes)}.")

    columns = class_indices(classes, info.classes)
    predicted, confidence, own_choice, deciders, probabilities = _predict(recogniser, pack, scored_rows, columns)
    groups = score_by(pack, grouped_by, scored_rows, truth_scored, probabilities, predicted, confidence)
    others = Counter(pack.classes[label] for label in labels[truth == _OTHER_CLASS].tolist())
    chosen_by = Counter(DECIDERS[index] for index in deciders.tolist())
    return Report(
        model=info.name,
        data=data,
        split=scored,
        classes=classes,
        confusion=confusion_matrix(truth_scored, predicted, len(classes)),
        confidence=confidence,
        correct=truth_scored == predicted,
        masked=tuple(name for name in info.classes if name not in classes),
        unmasked_accuracy=float((own_choice == columns[truth_scored]).mean()),
        left_out={name: others[name] for name in pack.classes if others[name]},
        unlabelled=int((truth == _UNLABELLED).sum()),
        lost=lost_images(pack, scored),
        not_aligned=int((pack.statuses[scored_rows] == Status.NOT_ALIGNED).sum()),
        alignments=(info.face.align, pack.info.alignment),
        decided_by={name: chosen_by[name] for name in DECIDERS if chosen_by[name]},
        by=groups,
        provenance={
            "dcdan": version("dcdan"),
            "method": info.method,
            **recogniser.provenance,
            "faces_sha256": pack.verify().get(FACES, ""),
        },
    )


def rows_to_score(pack: Pack, split: str | None, data: str) -> tuple[str, NDArray[np.int64]]:
    """Return the split to score and the rows of its faces.

    Args:
        pack: the pack.
        split: the split, or ``all``; None chooses that of the pack's spec, then ``test`` where there is one, then
            ``all``.
        data: name of the data, for the message.

    Returns:
        The name of the split, and ``(n,) int64`` rows.

    Raises:
        DataError: when the pack has no face in that split.
    """
    known = sorted(set(pack.splits.tolist()) - {""})
    name = split or pack.split or ("test" if "test" in known else ALL)
    rows: NDArray[np.int64] = pack.select() if name == ALL else pack.select(name)
    if not len(rows):
        raise DataError(
            f"'{data}' has no faces in split '{name}'.{nearest(name, known)} Known: {', '.join([*known, ALL])}."
        )
    return name, rows


def lost_images(pack: Pack, split: str) -> dict[str, int]:
    """Count the images of a split that have no face and therefore no score.

    Args:
        pack: the pack.
        split: the split, or ``all``.

    Returns:
        Number of images by status, the most common first.
    """
    table = pack.table(["status", "split", "row"])
    rows = zip(table["status"], table["split"], table["row"], strict=True)
    return dict(Counter(status for status, own, row in rows if row < 0 and split in (ALL, own)).most_common())


def _predict(
    recogniser: FaceRecogniser, pack: Pack, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the choice among ``columns``, its probability, the choice among all classes, the deciding head, and the
    probabilities of ``columns``, which sum to 1.
    """
    parts = []
    for start in range(0, len(rows), _FACES_AT_A_TIME):
        outputs = recogniser.recognise_faces(pack.faces[rows[start : start + _FACES_AT_A_TIME]])
        allowed = outputs.probabilities[:, columns].astype(np.float64)
        total = allowed.sum(axis=1, keepdims=True)
        allowed = np.where(total > 0, allowed / np.maximum(total, 1e-30), 1.0 / len(columns))
        parts.append((*choose_among(outputs, columns), outputs.expression, outputs.decided_by, allowed))
    choices, confidences, expressions, deciders, probabilities = map(np.concatenate, zip(*parts, strict=True))
    return choices, confidences, expressions, deciders, probabilities


def choose_among(outputs: SessionOutputs, columns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Choose among some classes only.

    Args:
        outputs: outputs for N faces and K classes.
        columns: ``(C,) int64`` classes that may be chosen, as indices into the K.

    Returns:
        ``(N,) int64`` choices as indices into ``columns``, and ``(N,) float64`` their probabilities after masking the
        other classes, in [0, 1]. With all classes allowed, both are the model's own.
    """
    position = np.full(outputs.probabilities.shape[1], -1, np.int64)
    position[columns] = np.arange(len(columns))
    if len(columns) == len(position):
        return position[outputs.expression], outputs.confidence.astype(np.float64)
    allowed = outputs.probabilities[:, columns].astype(np.float64)
    total = allowed.sum(axis=1)
    choice = allowed.argmax(axis=1)
    share = np.take_along_axis(allowed, choice[:, None], axis=1)[:, 0]
    # When all mass was on masked classes nothing is known, which is one part in C.
    return choice, np.where(total > 0, share / np.maximum(total, 1e-30), 1.0 / len(columns))


def labels_among(classes: Sequence[str], pack: Pack) -> NDArray[np.int64]:
    """Return the labels of a pack as indices into other classes.

    Args:
        classes: names of the classes.
        pack: the labelled pack.

    Returns:
        ``(N,) int64``; -1 for a face without a label or of another class.
    """
    return np.asarray(np.append(class_indices(pack.classes, classes), -1)[pack.labels], np.int64)


def class_indices(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each name in a list of classes.

    Args:
        names: K names.
        classes: the classes.

    Returns:
        ``(K,) int64``; -1 for a name that is not among the classes.

    Example:
        >>> class_indices(["fear", "contempt"], ["anger", "fear"]).tolist()
        [1, -1]
    """
    index = {name: number for number, name in enumerate(classes)}
    return np.array([index.get(name, -1) for name in names], dtype=np.int64)
