"""Schema versions: distinguish files of an older or newer dcdan from damaged files."""

from __future__ import annotations

from dcdan.core.errors import DcdanError


def check_schema(kind: type[DcdanError], what: str, found: object, reads: int, convert: str) -> None:
    """Raise an error unless a file has the schema that this version reads.

    Args:
        kind: Class of the error.
        what: The file, as it appears at the beginning of the message.
        found: Its schema version.
        reads: The schema version that this dcdan reads.
        convert: How to convert an older file; the end of the message.

    Raises:
        DcdanError: An instance of ``kind``, if ``found`` differs from ``reads``.

    Example:
        >>> from dcdan.core.errors import PackError
        >>> check_schema(PackError, "'pack'", 1, 2, "build it again")
        Traceback (most recent call last):
        dcdan.core.errors.PackError: 'pack' is of schema 1 and this dcdan reads 2: build it again.
    """
    if found == reads:
        return
    sentence = f"{what} is of schema {found} and this dcdan reads {reads}"
    if isinstance(found, int) and found > reads:
        raise kind(f"{sentence}: a newer version wrote it, so upgrade with pip install --upgrade dcdan.")
    raise kind(f"{sentence}: {convert}.")
