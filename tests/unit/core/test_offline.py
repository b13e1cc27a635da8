"""Without the network: nothing asks for a name or opens a connection, and what needs one says so."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dcdan.cli import main
from dcdan.core.errors import UsageError
from dcdan.core.offline import go_offline, is_offline
from dcdan.models.trunk import Trunk, load_imagenet
from tiny_training import SIZE, TRUNK


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Block the network, and note each attempt; the environment is as before after the test."""
    found: list[str] = []

    def refuse(*given: object, **named: object) -> None:
        found.append(str(given))
        raise OSError("the network is blocked in this test")

    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("DCDAN_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "0")
    return found


def test_the_weights_of_a_trunk_are_all_that_is_asked_for(asked: list[str]) -> None:
    assert not load_imagenet(Trunk(TRUNK))
    assert asked  # so the blockade sees what there is to see
    asked.clear()
    go_offline()
    assert is_offline()
    assert not load_imagenet(Trunk(TRUNK))
    assert not load_imagenet(Trunk("resnet50"))
    assert asked == []


def test_what_must_have_the_network_says_so() -> None:
    go_offline()
    with pytest.raises(UsageError, match="the network is forbidden here by --offline or DCDAN_OFFLINE"):
        load_imagenet(Trunk(TRUNK), required=True)


@pytest.mark.slow
def test_a_whole_run_does_without(asked: list[str], domains: tuple[Path, Path], tmp_path: Path) -> None:
    small = f"network.trunk={TRUNK} network.width=32 network.groups=4 source.batch=8 source.epochs=0.1 precision=fp32"
    settings = [part for each in small.split() for part in ("--set", each)]
    command = ["--offline", "adapt", "-s", str(domains[0]), "-t", str(domains[1]), "-o", str(tmp_path / "run")]
    command += ["--method", "source_only", "--size", str(SIZE), *settings, "--quiet"]
    assert main.run(command) == 0
    assert asked == []


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_the_variable_does_as_the_option(monkeypatch: pytest.MonkeyPatch, value: str, offline: bool) -> None:
    monkeypatch.setenv("DCDAN_OFFLINE", value)
    assert is_offline() == offline
