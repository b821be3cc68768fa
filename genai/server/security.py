"""Who may ask: checks of host, origin and key, and limits of bodies, before any endpoint sees a request."""

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import Collection, MutableMapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genai.server.openai_errors import APIError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
BODY_SECONDS = 120.0
"""Longest time in which the body of a request arrives."""
OPEN_PATHS = frozenset({"/healthz"})
"""Paths that need no key."""
PAGES = frozenset({"/", "/docs"})
"""Paths to which a link on another page may lead."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Headers of all answers."""


class Guard:
    """ASGI middleware that refuses what comes from elsewhere.

    Args:
        app: the application.
        key: that requests bring as ``Authorization: Bearer KEY``, or as the password of a browser; ``None``: none.
        host: the address that the server listens at.
        hosts: further names of the server, such as that of its proxy.
        origins: pages of other servers that may use this one, such as ``https://example.org``.
        max_body: bytes of a body, also if it comes in chunks.
    """

    def __init__(
        self, app: ASGIApp, key: str | None, host: str, hosts: Sequence[str], origins: Sequence[str], max_body: int
    ) -> None:
        self.app, self.max_body = app, max_body
        self.digest = None if key is None else _digest(key)
        self.hosts = frozenset({*(name.lower().strip("[]") for name in (host, *hosts)), *LOOPBACK_NAMES})
        self.allows_ip_hosts = host not in LOOPBACK_NAMES
        self.origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            elif scope["type"] == "websocket":  # there are none
                await send({"type": "websocket.close", "code": 1008})
            return
        headers = _single_headers(scope)
        origin = headers.get("origin", "").lower() if headers.get("origin", "").lower() in self.origins else None
        send = _with_headers(send, origin)
        try:
            self._check(scope, headers)
        except APIError as error:
            await error.response()(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and origin and "access-control-request-method" in headers:
            requested = headers.get("access-control-request-headers", "")
            await send({"type": "http.response.start", "status": 204, "headers": _preflight_headers(requested)})
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            self._check_key(scope, headers)
            if int(headers.get("content-length", "0") or 0) > self.max_body:
                raise _too_large(self.max_body)
        except (APIError, ValueError) as error:
            answer = error if isinstance(error, APIError) else APIError(400, "Content-Length is no number.")
            await answer.response()(scope, receive, send)
            return
        await self.app(scope, limit_body(receive, self.max_body), send)

    def _check(self, scope: Scope, headers: MutableMapping[str, str]) -> None:
        """Raise ``APIError`` for a request that another page, or another name of this machine, has sent."""
        host = headers.get("host", "")
        name = _host_name(host)
        if not (name in self.hosts or (self.allows_ip_hosts and _is_address(name))):
            raise APIError(403, "this server has another name. Its owner adds names with hosts=[NAME].", "wrong_host")
        origin = headers.get("origin")
        if origin is None:
            if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not (
                headers.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET" and scope["path"] in PAGES
            ):
                raise APIError(403, "pages of other servers may not use this one.", "wrong_origin")
            return
        is_own = origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
        if not is_own and origin.lower() not in self.origins:
            message = "pages of other servers may not use this one. Its owner allows one with origins=[https://NAME]."
            raise APIError(403, message, "wrong_origin")

    def _check_key(self, scope: Scope, headers: MutableMapping[str, str]) -> None:
        """Raise ``APIError`` if the key is missing or another one."""
        if self.digest is None or scope["path"] in OPEN_PATHS:
            return
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value).decode("utf-8").partition(":")[2]
            except ValueError:
                value = ""
        if scheme.lower() not in ("bearer", "basic") or not hmac.compare_digest(_digest(value.strip()), self.digest):
            raise APIError(401, "a key is due: Authorization: Bearer KEY.", "invalid_api_key")


def limit_body(receive: Receive, max_bytes: int) -> Receive:
    """Return ``receive``, which raises ``APIError`` for a body that is too large or takes too long."""
    size, is_complete = 0, False
    deadline = asyncio.get_running_loop().time() + BODY_SECONDS

    async def limited() -> Message:
        nonlocal size, is_complete
        if is_complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise APIError(408, "the body of the request did not arrive in time.") from None
        size += len(message.get("body", b""))
        is_complete = not message.get("more_body", False)
        if size > max_bytes:
            raise _too_large(max_bytes)
        return message

    return limited


def _too_large(max_bytes: int) -> APIError:
    return APIError(413, f"the body of a request may have {max_bytes:,} bytes.", "too_large")


def _digest(key: str) -> bytes:
    """Return a hash of a key, so that comparing takes the same time for all lengths."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def _single_headers(scope: Scope) -> dict[str, str]:
    """Return the headers; of a name that is given twice, both, which fits nothing."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _host_name(host: str) -> str:
    """Return the name in a ``Host`` header without its port; "" if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
        return (parts.hostname or "") if not parts.path and "@" not in host else ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """Return whether a name is an address, which no name server can point elsewhere."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: Send, origin: str | None) -> Send:
    """Return ``send``, which adds the headers of all answers, and those for pages of ``origin``."""
    extra: Collection[tuple[bytes, bytes]] = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
    if origin is not None:
        cors = {"Access-Control-Allow-Origin": origin, "Vary": "Origin", "Cross-Origin-Resource-Policy": "cross-origin"}
        extra = [
            *(pair for pair in extra if pair[0].decode() not in cors),
            *((k.encode(), v.encode()) for k, v in cors.items()),
        ]

    async def add_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", [])}
            new: list[Any] = [pair for pair in extra if pair[0].lower() not in names]
            message = {**message, "headers": [*message.get("headers", []), *new]}
        await send(message)

    return add_headers


def _preflight_headers(requested: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of the answer to a page that may use this server: clients name their own headers."""
    values = {
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
        "Access-Control-Allow-Headers": re.sub(r"[^A-Za-z0-9, _-]", "", requested)[:1000],
        "Access-Control-Max-Age": "600",
    }
    return [(name.encode(), value.encode()) for name, value in values.items()]
