"""Stories of who is shown what: short ones, for mutants to stumble over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from featurestore.catalogue import Catalogue, Entry, keep, of_store
from featurestore.intervals import FixedClock
from featurestore.online.memory import MemoryStore
from featurestore.server import keys
from featurestore.server.exchange import Exchange, Reply
from featurestore.server.keys import Access
from featurestore.server.page import Page
from featurestore.server.problems import Refused
from featurestore.server.sessions import Sessions
from tests.entries import document_of


def _view(name: str, source: str, features: list[str], columns: list[str]) -> list[Entry]:
    facts = {"kind": "feature", "source": source, "features": features, "columns": columns, "fingerprint": "f", "keys": []}
    told = [Entry("feature", f"{name}/{f}", facts={"type": "double", "formula": f}) for f in features]
    return [Entry("view", name, facts=facts, uses=(("source", source),)), *told]


def _service(name: str, *views: str) -> Entry:
    facts = {"columns": [{"name": "x", "view": v, "feature": "x", "type": "double", "instance": v} for v in views]}
    return Entry("service", name, facts=facts, uses=tuple(("view", view) for view in views))


def _mixed() -> list[Entry]:
    """An on-demand view of which `a` reads one view, and `b` the other."""
    facts = {"kind": "on-demand", "features": ["a", "b"], "inputs": [["mine", "mine"], ["theirs", "theirs"]], "request": {}}
    return [
        Entry("view", "mixed", facts=facts, uses=(("view", "mine"), ("view", "theirs"))),
        Entry("feature", "mixed/a", facts={"reads": [["x", "mine/x"]], "type": "double", "formula": "x"}),
        Entry("feature", "mixed/b", facts={"reads": [["x", "theirs/x"]], "type": "double", "formula": "x"}),
    ]


def _entries() -> list[Entry]:
    return [
        Entry("source", "shared", facts={"columns": {"one": "double", "two": "double"}}),
        Entry("source", "other"),
        *_view("mine", "shared", ["x"], ["one"]),
        *_view("theirs", "shared", ["x"], ["two"]),
        *_view("far", "other", ["x"], []),
        *_mixed(),
        _service("a", "mine", "mixed"),
        _service("b", "mine", "theirs", "mixed", "far"),
    ]


def _a_key_sees_what_its_services_are_made_of(_: Path) -> None:
    seen = Catalogue(_entries()).seen_by(lambda service: service == "a")
    assert [entry.name for entry in seen] == ["a", "mine/x", "mixed/a", "mine", "mixed", "shared"]
    mixed, shared, mine = seen.get("view", "mixed"), seen.get("source", "shared"), seen.get("feature", "mine/x")
    assert mixed is not None
    assert shared is not None
    assert mine is not None
    assert (mixed.facts["features"], mixed.facts["inputs"], mixed.uses) == (["a"], [["mine", "mine"]], (("view", "mine"),))
    assert shared.facts["columns"] == {"one": "double"}
    assert [service.name for service, _ in seen.columns_of(mine)] == ["a"]
    assert [entry.name for entry in seen.used_by(shared)] == ["mine"]


def _what_is_asked(page: Page, path: str, **headers: str) -> Reply:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"path": path, "method": "GET", "headers": pairs, "query_string": b"", "scheme": "http"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    return asyncio.run(page.answer(Exchange(scope), receive))


def _filled() -> MemoryStore:
    store = MemoryStore()
    keep(store, "1", lambda: document_of(_entries()))
    return store


def _status(page: Page, path: str, **headers: str) -> int:
    try:
        return int(_what_is_asked(page, path, **headers).status)
    except Refused as error:
        return int(error.http_status)


def _a_page_needs_the_store_alone_and_hides_what_a_key_may_not_see(folder: Path) -> None:
    secret, _ = keys.add(folder / "keys.toml", "one", services=["a"])
    page = Page(_filled(), Access(folder / "keys.toml"), FixedClock(0))
    mine = {"authorization": f"Bearer {secret}", "host": "shop.example"}
    assert (_status(page, "/services/a", **mine), _status(page, "/services/b", **mine)) == (200, 404)
    assert (_status(page, "/sources/shared", **mine), _status(page, "/sources/other", **mine)) == (200, 404)
    assert b"theirs" not in _what_is_asked(page, "/", **mine).body
    assert _status(page, "/services/a", accept="application/json") == 401


def _without_keys_a_page_is_for_this_machine(_: Path) -> None:
    page = Page(_filled(), Access(), FixedClock(0))
    assert _status(page, "/services/b", host="127.0.0.1:8000") == 200
    assert _status(page, "/services/b", host="evil.example") == 421


def _a_session_is_of_its_key_and_ends(folder: Path) -> None:
    secret, one = keys.add(folder / "keys.toml", "one", scopes=["lookup", "push"])
    access = Access(folder / "keys.toml")
    other = Sessions().of(one)
    session = access.sessions.of(one)
    assert secret not in session
    found = access.key({b"cookie": f"featurestore_session={session}".encode()})
    assert (found.id, found.scopes) == (one.id, ("lookup",))
    identity, _, signature = session.split(".")
    for cookie in (other, f"{identity}.9999999999.{signature}", f"{identity}.1.{signature}"):
        try:
            access.key({b"cookie": f"featurestore_session={cookie}".encode()})
        except Refused:
            continue
        raise AssertionError(cookie)
    past = access.sessions.claimed(f"featurestore_session={_of_the_past(access.sessions, one)}".encode())
    assert past is not None
    assert not access.sessions.proven(past, one)
    elsewhere = {b"cookie": f"featurestore_session={session}".encode(), b"sec-fetch-site": b"same-site"}
    try:
        access.key(elsewhere)
    except Refused:
        return
    raise AssertionError("a page of another port asks in the name of who is signed in")


def _of_the_past(sessions: Sessions, key: keys.Key) -> str:
    signature = sessions._signature(key, b"1")
    return f"{key.id}.1.{signature.decode()}"


def _an_older_store_hides_the_same(_: Path) -> None:
    def instance(view: str) -> dict[str, Any]:
        return {"view": view, "name": view, "fingerprint": "f", "keys": [], "features": [["x", "x"]]}

    feature = {"name": "x", "type": "double", "expression": '"x"', "aggregate": None}
    view = {"fingerprint": "f", "source": "s", "keys": [], "where": None, "ttl": None, "allow_exact_matches": False}
    views = {"mine": {**view, "online": True, "features": [feature]}}
    services = {"a": {"fingerprint": "f", "instances": [instance("mine")]}}
    known = of_store(json.loads(json.dumps(services)), views.items())
    assert [entry.name for entry in known] == ["a", "mine/x", "mine", "s"]
    assert not known.seen_by(lambda service: service == "b").entries


SHOWN: Mapping[str, Callable[[Path], None]] = {
    f"shown-{story.__name__.strip('_')}": story
    for story in (
        _a_key_sees_what_its_services_are_made_of,
        _a_page_needs_the_store_alone_and_hides_what_a_key_may_not_see,
        _without_keys_a_page_is_for_this_machine,
        _a_session_is_of_its_key_and_ends,
        _an_older_store_hides_the_same,
    )
}
