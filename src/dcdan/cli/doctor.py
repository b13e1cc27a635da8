"""`dcdan doctor`: what a bug report should hold, and a self-test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from dcdan.cli import options
from dcdan.core.errors import DcdanError

if TYPE_CHECKING:
    from collections.abc import Mapping


_FORBIDDEN = "forbidden (--offline)"
_ALLOWED = "allowed; used only for hf-hub: models, inputs at URLs and ImageNet weights of a trunk"


def doctor(json: options.Json = False) -> None:
    """Show versions, extras, devices, cache and models, and recognise a drawn face as a self-test.

    Nothing is sent anywhere. Paste the output into a bug report. Ends with exit code 1 where something is wrong.
    """
    from dcdan.inference.diagnosis import diagnosis

    found = diagnosis()
    if json:
        from json import dumps

        typer.echo(dumps(found, indent=2))
    else:
        from dcdan.core.sanitize import inert

        for line in lines(found):
            typer.echo(inert(line))
    if found["problems"]:
        raise DcdanError(" ".join(found["problems"]))


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return a diagnosis as lines of text.

    Args:
        found: what :func:`dcdan.inference.diagnosis.diagnosis` returns.
    """
    cache, test = found["cache"], found.get("self_test")
    extras = [
        f"{name} {'yes' if not lacks else 'no (' + ', '.join(lacks) + ')'}" for name, lacks in found["extras"].items()
    ]
    told = [
        f"dcdan      {found['dcdan']}, Python {found['python']}, {found['system']}",
        f"cores      {found['cores']}"
        + (f", OMP_NUM_THREADS={found['omp_num_threads']}" if found["omp_num_threads"] else ""),
        f"devices    {', '.join(found['devices'])}",
        f"network    {_FORBIDDEN if found['offline'] else _ALLOWED}",
        f"extras     {'; '.join(extras)}",
        f"packages   {', '.join(f'{name} {number}' for name, number in found['packages'].items())}",
        f"cache      {cache['entries']} entries, {cache['bytes'] / 1e6:.0f} of {cache['limit'] / 1e6:.0f} MB, "
        + " and ".join(cache["folders"]),
    ]
    for model in found["models"]:
        default = " (default)" if model["default"] else ""
        told.append(f"model      {model['name']}{default}: {model['error'] or 'checksums right'}")
        told += [f"           {file} {digest}" for file, digest in model.get("files", {}).items()]
    if test is not None:
        answer = f"{test['expression']} {test['probability']}" if test["ok"] else f"failed: {test['error']}"
        told.append(f"self-test  {answer} ({test['seconds']} s)")
    return told
