"""Who may talk to the server: this machine, with the token of the first address, from the server's own pages.

A page of another origin can neither read (no cookie: it is same-site strict; no CORS header is ever sent) nor post
(``Origin`` must be the server's). A name that is rebound to 127.0.0.1 fails because of ``Host``.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The content security policy: no inline code, no style in attributes, nothing from outside."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class Access:
    """The secrets of one server.

    Attributes:
        port: the port that it listens on.
        token: in the first address.
        session: value of the cookie that the first address sets.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def cookie(self) -> str:
        """Name of the cookie; cookies are shared by all ports of a host, so the port is in it."""
        return f"dcdan-{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Values of ``Host`` that are answered."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    @property
    def address(self) -> str:
        """The first address, to be opened in a browser."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"


class Guard:
    """ASGI middleware that answers only who has the right to be answered, and adds the security headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope)
        await (self._app if answer is None else answer)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._access.hosts:
            return PlainTextResponse("This server answers only to 127.0.0.1.", 421)
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse("A page of another origin asked.", 403)
        if scope["method"] not in ("GET", "HEAD") and origin is None:
            return PlainTextResponse("The request does not say which page it comes from.", 403)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and given:
            if not _same(given, self._access.token):
                return PlainTextResponse("The token is wrong: open the address that `dcdan app` printed.", 403)
            answer = RedirectResponse("/", 303)
            answer.set_cookie(self._access.cookie, self._access.session, httponly=True, samesite="strict", path="/")
            return answer
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse("A page of another origin asked.", 403)
        if not _same(_cookie(headers.get("cookie", ""), self._access.cookie), self._access.session):
            return PlainTextResponse("Open the address that `dcdan app` printed: it has the key to this page.", 403)
        return None


def _cookie(header: str, name: str) -> str:
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return next((value for key, _, value in pairs if key == name), "")


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), known.encode())
