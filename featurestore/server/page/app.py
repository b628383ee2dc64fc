"""Which page a request is for, who may see it, and what it is told: everything between HTTP and the functions that write HTML.

Documents of the store are read where look-ups are answered, which takes no time; they are understood, and pages are written, in
a thread of their own, so that no look-up waits for a page.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

from featurestore.config import Config
from featurestore.errors import FeatureStoreError
from featurestore.intervals import Clock
from featurestore.online.store import OnlineStore
from featurestore.server.exchange import Exchange, Message, Receive, Reply
from featurestore.server.hot import Gone
from featurestore.server.keys import ANYONE, Access, Key, from_here
from featurestore.server.page import pages, static
from featurestore.server.page.asked import Asked, NotThere
from featurestore.server.page.boards import PAGES as BOARDS
from featurestore.server.page.known import Known
from featurestore.server.page.render import render, warm
from featurestore.server.problems import Headers, Refused, problem
from featurestore.server.sessions import cookie

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
MOST_FORM = 4_096
"""Bytes of a sign-in."""
_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src {static.style_source()}; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_SECURE: Headers = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_HTML: Headers = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"vary", b"cookie, authorization, x-api-key"),
    *_SECURE,
]
_THEME = re.compile(rb"(?:^|; ?)featurestore_theme=(light|dark)(?:;|$)")
_HOST = re.compile(rb"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_LOCAL = re.compile(r"/(?![/\\])[\w\-./~%?&=+:,@]*", re.ASCII)

Writes = Callable[[Asked], str]


class Page:
    """Answers requests for pages. root, config: the project's. manifest: what is shown while the store has no catalogue."""

    def __init__(
        self, store: OnlineStore, access: Access, clock: Clock,
        *, root: Path | None = None, config: Config | None = None, manifest: Path | None = None,
    ) -> None:  # fmt: skip
        self._access, self._clock, self._root, self._config = access, clock, root, config
        self._known = Known(store, manifest)
        self._thread = ThreadPoolExecutor(1, "pages")
        self._thread.submit(warm)

    def owns(self, path: str) -> bool:
        """Whether the path is one of a page, whatever the method and whether or not what it names is there."""
        return _route(path) is not None or path in (SIGN_IN, SIGN_OUT) or path.startswith(static.PREFIX)

    async def answer(self, exchange: Exchange, receive: Receive) -> Reply:
        """Raises: FeatureStoreError, Gone."""
        path, method = exchange.scope["path"], exchange.scope["method"]
        if path in (SIGN_IN, SIGN_OUT) and not self._access.restricted:
            raise _not_found(path)
        if method == "POST" and path in (SIGN_IN, SIGN_OUT):
            return await self._sign(path, exchange, receive)
        if method not in ("GET", "HEAD") or path == SIGN_OUT:
            allowed = {SIGN_IN: b"GET, HEAD, POST", SIGN_OUT: b"POST"}.get(path, b"GET, HEAD")
            what = f"{path} takes {allowed.decode()} only"
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "FS509", what, headers=[(b"allow", allowed)], closes=True)
        if path.startswith(static.PREFIX):
            return _file(path.removeprefix(static.PREFIX), exchange)
        self._check_host(exchange)
        if path == SIGN_IN:
            return self._ask_for_key(exchange, _query(exchange).get("to", "/"))
        try:
            exchange.key = self._access.key(exchange.headers)
        except Refused:
            if not wants_html(exchange):
                raise
            there = f"{SIGN_IN}?{urlencode({'to': quote(path) + _query_text(exchange)})}"
            return Reply(b"", [(b"location", there.encode()), (b"cache-control", b"no-store")], HTTPStatus.SEE_OTHER)
        exchange.authorize("lookup")  # pages show values too
        return await self._page(exchange)

    def failed(self, error: Exception, exchange: Exchange) -> Reply:
        """The page that tells of an error."""
        status, headers, body = problem(error, exchange.key)
        if not wants_html(exchange):
            return Reply(body, headers, status)
        told = error if isinstance(error, FeatureStoreError) and status != HTTPStatus.INTERNAL_SERVER_ERROR else None
        what = told.what if told is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR else _WORDS.get(status, "")
        code = told.code if told is not None else "FS511"
        asked = self._asked(exchange, empty=True)
        title, request_id = HTTPStatus(status).phrase, exchange.request_id.decode("ascii")
        text = render("failed.html", asked, title=title, what=what, code=code, request_id=request_id)
        kept = [(name, value) for name, value in headers if name != b"content-type"]
        return Reply(text.encode(), [*kept, (b"cache-control", b"no-store"), *_HTML], status)

    # Pages.

    async def _page(self, exchange: Exchange) -> Reply:
        found = _route(exchange.scope["path"])
        if found is None:
            raise _not_found(exchange.scope["path"])
        self._known.look()
        loop = asyncio.get_running_loop()
        try:
            text = await loop.run_in_executor(self._thread, self._written, found, exchange)
        except NotThere as error:
            raise Refused(HTTPStatus.NOT_FOUND, "FS509", error.what) from None
        body = text.encode("utf-8", "replace")
        tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:24].encode()
        headers = [(b"etag", tag), (b"cache-control", b"private, no-cache"), *_HTML]
        return Reply(b"", headers, HTTPStatus.NOT_MODIFIED) if _has(exchange, tag) else Reply(body, headers)

    def _written(self, write: Writes, exchange: Exchange) -> str:
        return write(self._asked(exchange))

    def _asked(self, exchange: Exchange, *, empty: bool = False) -> Asked:
        key = exchange.key
        catalogue, live, trouble = self._known.nothing() if empty else self._known.seen_by(key)
        return Asked(
            path=exchange.scope["path"],
            query=_query(exchange),
            catalogue=catalogue,
            live=live,
            now=self._clock.now(),
            root=self._root,
            config=self._config,
            address=_address(exchange),
            who=key.name,
            limited=bool(key.services),
            signed_in=key is not ANYONE and _by_session(exchange),
            theme=_theme(exchange),
            trouble=trouble,
        )

    def _check_host(self, exchange: Exchange) -> None:
        """Without keys the server is for this machine: a name that somebody else made to mean it is not answered, for a page
        from there could read ours. Raises: Refused FS512 (421)."""
        if self._access.restricted or _is_this_machine(exchange.headers.get(b"host", b"")):
            return
        hint = "http://127.0.0.1 or http://localhost; for other names API keys (featurestore keys add)"
        raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "FS512", "without API keys pages are for this machine only", hint=hint)

    # Sign-in.

    def _ask_for_key(self, exchange: Exchange, to: str, wrong: str = "") -> Reply:
        text = render("sign_in.html", self._asked(exchange, empty=True), to=_local(to), wrong=wrong)
        return Reply(text.encode(), [(b"cache-control", b"no-store"), *_HTML], HTTPStatus.FORBIDDEN if wrong else HTTPStatus.OK)

    async def _sign(self, path: str, exchange: Exchange, receive: Receive) -> Reply:
        if not from_here(exchange.headers) or exchange.headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            raise Refused(HTTPStatus.FORBIDDEN, "FS513", "sign-in is asked for by a page from elsewhere", closes=True)
        form = await _form(receive)
        secure = exchange.scope.get("scheme") == "https" or exchange.headers.get(b"x-forwarded-proto") == b"https"
        if path == SIGN_OUT:
            return _sent_to(SIGN_IN, cookie("", secure=secure))
        to = _local(form.get("to", "/"))
        try:
            key: Key = self._access.of_secret(form.get("key", "").strip().encode())
        except Refused:
            return self._ask_for_key(exchange, to, wrong="That API key is not known.")
        return _sent_to(to, cookie(self._access.sessions.of(key), secure=secure))


_WORDS = {
    HTTPStatus.INTERNAL_SERVER_ERROR.value: "The server failed; its log says how.",
    HTTPStatus.SERVICE_UNAVAILABLE.value: "The server cannot answer now. Try again a little later.",
}


def _route(path: str) -> Writes | None:
    """The function that writes the page of a path."""
    if path in BOARDS:
        return BOARDS[path][1]
    if path == "/":
        return pages.catalogue
    if not path.startswith("/"):  # OPTIONS * asks for none
        return None
    _, folder, *names = path.split("/")
    found = pages.OF.get(folder)
    if found is None or len(names) != found[0] or not all(names):
        return None
    return partial(found[1], name="/".join(names))


def wants_html(exchange: Exchange) -> bool:
    """Whether who asks reads HTML, as browsers say they do: others get problem documents."""
    return b"text/html" in exchange.headers.get(b"accept", b"").lower()


def _query_text(exchange: Exchange) -> str:
    raw: bytes = exchange.scope.get("query_string", b"")
    return f"?{raw.decode('latin-1')}" if raw else ""


def _query(exchange: Exchange) -> dict[str, str]:
    raw: bytes = exchange.scope.get("query_string", b"")
    try:
        return dict(parse_qsl(raw.decode("latin-1")[:2_000], max_num_fields=30, errors="replace"))
    except ValueError:
        return {}


def _has(exchange: Exchange, tag: bytes) -> bool:
    given = exchange.headers.get(b"if-none-match", b"")
    return tag in [one.strip().removeprefix(b"W/") for one in given.split(b",")]


def _file(name: str, exchange: Exchange) -> Reply:
    if name not in static.TYPES:
        raise _not_found(static.PREFIX + name)
    found = static.file(name)
    tag = b'"%s"' % found.digest.encode()
    dated = _query(exchange).get("v") == found.digest
    keep = b"public, max-age=31536000, immutable" if dated else b"no-cache"
    headers = [(b"content-type", found.kind), (b"etag", tag), (b"cache-control", keep), *_SECURE]
    return Reply(b"", headers, HTTPStatus.NOT_MODIFIED) if _has(exchange, tag) else Reply(found.body, headers)


def _not_found(path: str) -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, "FS509", f"GET {path[:200]}: Not Found")


def _address(exchange: Exchange) -> str:
    """Where the server was reached, for examples: what is no plain host is not repeated."""
    host = exchange.headers.get(b"host", b"")
    secure = exchange.scope.get("scheme") == "https" or exchange.headers.get(b"x-forwarded-proto") == b"https"
    return f"http{'s' if secure else ''}://{host.decode() if _HOST.fullmatch(host) else '127.0.0.1:8000'}"


def _theme(exchange: Exchange) -> str:
    found = _THEME.search(exchange.headers.get(b"cookie", b""))
    return found[1].decode() if found else ""


def _is_this_machine(host: bytes) -> bool:
    name = re.sub(rb":\d{1,5}$", b"", host).decode("latin-1").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _by_session(exchange: Exchange) -> bool:
    return not {b"authorization", b"x-api-key"} & exchange.headers.keys()


def _local(to: str) -> str:
    """A path of ours; "/" for anything else."""
    return to if _LOCAL.fullmatch(to) and not unquote(to).startswith(("//", "/\\", SIGN_IN)) else "/"


def _sent_to(to: str, set_cookie: bytes) -> Reply:
    headers = [(b"location", to.encode()), (b"set-cookie", set_cookie), (b"cache-control", b"no-store")]
    return Reply(b"", headers, HTTPStatus.SEE_OTHER)


async def _form(receive: Receive) -> dict[str, str]:
    """Raises: Refused FS508 (413), Gone."""
    body, more = b"", True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > MOST_FORM:
            what = f"the form has more than {MOST_FORM} bytes"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "FS508", what, closes=True)
    try:
        return dict(parse_qsl(body.decode("latin-1"), max_num_fields=30, errors="replace"))
    except ValueError:  # more fields than any of our forms has
        return {}


__all__ = ["Page", "wants_html"]
