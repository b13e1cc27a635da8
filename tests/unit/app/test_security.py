"""Who is answered: only this machine, with the token, from the server's own pages."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs dcdan[app]")
pytest.importorskip("uvicorn", reason="needs dcdan[app]")

from asgi import Asked, ask
from dcdan.app.context import AppContext
from dcdan.app.security import HEADERS, Access
from dcdan.app.server import build

ACCESS = Access(8000, "the-token", "the-session")
HOST = {"Host": "127.0.0.1:8000"}
COOKIE = {"Cookie": "other=1; dcdan-8000=the-session"}
OWN = {"Origin": "http://127.0.0.1:8000"}


def asked(tmp_path: Path, method: str, path: str, headers: dict[str, str]) -> Asked:
    return ask(build(AppContext(tmp_path / "runs"), ACCESS), method, path, headers, [b"{}"])


def test_the_first_address_sets_a_strict_cookie_that_scripts_cannot_read(tmp_path: Path) -> None:
    found = asked(tmp_path, "GET", "/?token=the-token", HOST)
    assert (found.status, found.headers["location"]) == (303, "/")
    cookie = found.headers["set-cookie"].lower()
    assert cookie.startswith("dcdan-8000=the-session;")
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert asked(tmp_path, "GET", "/", HOST | COOKIE).status == 200


def test_secrets_are_new_each_time() -> None:
    assert len({Access(1).token, Access(1).token, Access(1).session, Access(1).session}) == 4
    assert len(Access(1).token) >= 40


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", HOST, 403),
        ("GET", "/?token=wrong", HOST | COOKIE, 403),
        ("GET", "/static/try.js", HOST, 403),
        ("GET", "/api/labels?token=the-token", HOST, 403),
        ("GET", "/", HOST | {"Cookie": "dcdan-8000=the-sessio"}, 403),
        ("GET", "/", HOST | {"Cookie": "dcdan-8001=the-session"}, 403),
        ("GET", "/", COOKIE, 421),
        ("GET", "/", {"Host": "evil.example:8000"} | COOKIE, 421),
        ("GET", "/", {"Host": "127.0.0.1:8001"} | COOKIE, 421),
        ("GET", "/", {"Host": "127.0.0.1"} | COOKIE, 421),
        ("GET", "/api/model", HOST | COOKIE | {"Origin": "http://evil.example"}, 403),
        ("GET", "/api/model", HOST | COOKIE | {"Origin": "null"}, 403),
        ("GET", "/api/model", HOST | COOKIE | {"Origin": "http://127.0.0.1:8001"}, 403),
        ("GET", "/api/model", HOST | COOKIE | {"Sec-Fetch-Site": "same-site"}, 403),
        ("GET", "/api/model", HOST | COOKIE | {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", "/api/adapt/stop", HOST | COOKIE, 403),
        ("POST", "/api/adapt/stop", HOST | COOKIE | {"Origin": "http://localhost:8000"}, 403),
        ("POST", "/api/adapt/stop", HOST | OWN, 403),
    ],
)
def test_strangers_are_not_answered(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    found = asked(tmp_path, method, path, headers)
    assert found.status == status
    assert "set-cookie" not in found.headers
    assert "access-control-allow-origin" not in found.headers
    assert {name: found.headers[name] for name in HEADERS} == HEADERS


def test_a_page_of_the_server_is_answered(tmp_path: Path) -> None:
    found = asked(tmp_path, "POST", "/api/adapt/stop", HOST | COOKIE | OWN)
    assert (found.status, found.body) == (400, b'{"error":"No adaptation is running."}')


@pytest.mark.parametrize("path", ["/", "/label", "/adapt", "/compare"])
def test_pages_hold_no_inline_code_and_nothing_from_outside(tmp_path: Path, path: str) -> None:
    found = asked(tmp_path, "GET", path, HOST | COOKIE)
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    text = found.body.decode()
    assert '<script type="module" src="/static/' in text
    assert "</script>" in text
    assert not [word for word in (" style=", " onclick=", "<style", "http://", "https://", "//cdn") if word in text]


@pytest.mark.parametrize("path", ["/static/../server.py", "/static/..%2fserver.py", "/static//etc/passwd"])
def test_only_static_files_are_served(tmp_path: Path, path: str) -> None:
    assert asked(tmp_path, "GET", path, HOST | COOKIE).status == 404
