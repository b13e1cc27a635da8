"""Schema versions: what an older or newer dcdan has written is told apart from what is damaged."""

from __future__ import annotations

from dcdan.core.errors import DcdanError


def check_schema(kind: type[DcdanError], what: str, found: object, reads: int, convert: str) -> None:
    """Raise ``kind`` unless ``what`` is of the schema that this version reads.

    ``convert`` says how what an older version wrote, or what has no schema, becomes readable.
    """
    if found == reads:
        return
    sentence = f"{what} is of schema {found} and this dcdan reads {reads}"
    if isinstance(found, int) and found > reads:
        raise kind(f"{sentence}: a newer version wrote it, so upgrade with pip install --upgrade dcdan.")
    raise kind(f"{sentence}: {convert}.")
