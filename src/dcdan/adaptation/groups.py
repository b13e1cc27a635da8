"""Whose face it is: the group (person, session, camera) of each input, from sub-folders, a pack or a manifest."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import PurePath

from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.images.inputs import Input
from dcdan.packs.data_inputs import is_data_set, pack_folder
from dcdan.packs.pack import Pack


class Grouping(StrEnum):
    """How the groups of a target are to be taken.

    Attributes:
        AUTO: from sub-folders or subjects; their mixes of expressions may differ.
        ALIKE: the same, and every group shows the same mix of expressions, as in a posed set.
        NONE: no groups.
    """

    AUTO = "auto"
    ALIKE = "alike"
    NONE = "none"


GroupOf = Callable[[Input], str]


def group_finder(target: str, grouping: Grouping = Grouping.AUTO) -> GroupOf:
    """Return the function that names an input's group; the empty name stands for none.

    Args:
        target: the text that the inputs were found by: a folder (its sub-folders are groups), a pack or a data set
            (their subjects are).
        grouping: none, or from the target.

    Example:
        >>> from dcdan.images.inputs import InputKind
        >>> find = group_finder("photos")
        >>> find(Input("photos/anna/1.jpg", InputKind.PICTURE, PurePath("anna/1.jpg")))
        'anna'
    """
    if grouping is Grouping.NONE:
        return lambda _: ""
    folder = pack_folder(target)
    if folder is not None:
        pack = Pack.open(folder, labelled=False)
        subjects = dict(zip(pack.paths.tolist(), pack.subjects.tolist(), strict=True))
        return lambda each: subjects.get(each.path, "")
    if is_data_set(target):
        reader = open_reader(parse_spec(target))
        known = {sample.path: sample.subject for sample in reader.selected()}
        return lambda each: known.get(each.path) or ""
    return lambda each: folder_group(each.name)


def folder_group(name: PurePath) -> str:
    """Return the group that a place in a folder says: the sub-folders that it lies in.

    Example:
        >>> folder_group(PurePath("anna/day 1/a.jpg")), folder_group(PurePath("a.jpg"))
        ('anna/day 1', '')
    """
    parent = name.parent.as_posix()
    return "" if parent == "." else parent
