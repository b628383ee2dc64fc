"""The pages, over the application in this process: what they show, to whom, and that names cannot do harm."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from featurestore import (
    ArrowSource,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    OnDemandFeatureView,
    agg,
    catalogue,
    latest,
)
from featurestore.catalogue import making
from featurestore.config import Server
from featurestore.dtypes import parse_dtype
from featurestore.intervals import FixedClock, parse_instant
from featurestore.retrieval.online_features import OnlineReader
from featurestore.retrieval.online_request import checked_request
from featurestore.server import create_app, keys
from featurestore.server.app import Application
from featurestore.server.keys import Access
from featurestore.server.page.app import SIGN_IN
from featurestore.server.page.live import Served
from featurestore.server.page.pages import _question
from tests.entries import document_of
from tests.functional.serving import make_project, serving

NOW = parse_instant("2026-01-03T00:00:00Z")
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>\u202e&amp;\x07"""
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def definitions() -> list[object]:
    """Two services: `open_v1`, and `veiled_v1`, of which nobody limited to the first may learn anything. What only the second
    is made of has "veiled" in its name, words, owner, tags and columns."""
    rows = pa.table(
        {
            "customer_id": [1, 1, 2], "at": pa.array([10**15] * 3, pa.timestamp("us", "UTC")), "amount": [1.5, 2.5, 4.0],
            "veiled_column": [1, 2, 3],
        }
    )  # fmt: skip
    time = {"event_timestamp": "at", "delay": "0s"}
    customer = Entity(name="customer", join_keys=["customer_id"], description=HOSTILE, owner=HOSTILE, tags={HOSTILE: HOSTILE})
    payments = ArrowSource(name="payments", table=rows, **time, owner="payers", tags={"pii": "yes"})
    veiled_source = ArrowSource(name="veiled_source", table=rows, **time, owner="veiled team")
    spent = FeatureView(
        name="spent", entities=[customer], source=payments, description=f"What was spent. {HOSTILE}",
        features=[latest("amount"), agg.sum("amount", window="7d", name="sum_7d")],
    )  # fmt: skip
    veiled_view = FeatureView(
        name="veiled_view", entities=[customer], source=veiled_source, features=[latest("veiled_column")], tags={"veiled": "x"}
    )
    also_veiled = FeatureView(
        name="also_veiled", entities=[customer], source=payments, features=[latest("veiled_column", name="same")]
    )
    mixed = OnDemandFeatureView(
        name="mixed", inputs=[spent, veiled_view], request={"paid": "double"},
        features={"share": "paid / sum_7d", "veiled_share": "veiled_column + sum_7d"},
    )  # fmt: skip
    return [
        FeatureService(name="open_v1", features=[spent, mixed[["share"]]], description="Open to all.", owner="openers"),
        FeatureService(
            name="veiled_v1", features=[spent, veiled_view, mixed, also_veiled], tags={"veiled": "yes"}, owner="veilers"
        ),
    ]


@pytest.fixture(scope="module")
def store() -> FeatureStore:
    found = FeatureStore(definitions=definitions(), clock=FixedClock(NOW))
    found.materialize()
    catalogue.keep(found.online, making.outline(found.bound), lambda: making.document(found.bound))
    return found


def browser(app: Application, **headers: str) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1:8000", headers={**HTML, **headers}, follow_redirects=False)


@pytest.fixture(scope="module")
def page(store: FeatureStore) -> TestClient:
    return browser(create_app(store.reader))


@pytest.fixture
def locked(store: FeatureStore, tmp_path: Path) -> tuple[Application, Path, Mapping[str, str]]:
    """A server with keys, their file, and the secrets of one key for all and one for `open_v1` alone."""
    file = tmp_path / "keys.toml"
    secrets = {"all": keys.add(file, "all", scopes=["lookup", "push"])[0]}
    secrets["open"] = keys.add(file, "open", services=["open_v1"])[0]
    return create_app(store.reader, access=Access(file)), file, secrets


def links(text: str) -> set[str]:
    found = re.findall(r'(?:href|action)="([^"]+)"', text)
    return {link.replace("&amp;", "&").partition("#")[0] or "/" for link in found}


def attributes(text: str) -> set[str]:
    """The names of all attributes, as a browser would see them."""
    found: set[str] = set()

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.update(name for name, _ in attrs)

    Parser().feed(text)
    return found


def crawled(client: TestClient) -> dict[str, str]:
    """Every page that can be reached from the first, by its address."""
    found: dict[str, str] = {}
    waiting = ["/"]
    while waiting:
        address = waiting.pop()
        if address in found or address.startswith(("/static/", "/sign-out")):
            continue
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        found[address] = answer.text
        waiting += links(answer.text)
    return found


@pytest.fixture(scope="module")
def pages(page: TestClient) -> dict[str, str]:
    return crawled(page)


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_every_definition_has_a_page_that_the_catalogue_leads_to(pages: dict[str, str]) -> None:
    assert {
        "/", "/services/open_v1", "/services/veiled_v1", "/views/spent", "/views/veiled_view", "/views/mixed",
        "/features/spent/amount", "/features/spent/sum_7d", "/features/mixed/share", "/sources/payments", "/entities/customer",
    } <= {urlsplit(address).path for address in pages}  # fmt: skip


def test_a_page_of_a_feature_tells_definition_type_lineage_and_use(pages: dict[str, str]) -> None:
    text = pages["/features/spent/sum_7d"]
    for told in (
        "sum(&#34;amount&#34;) over 7d",
        "double",
        "the value is made of it",
        "/sources/payments",
        "/services/open_v1",
        "/features/mixed/share",
        "SELECT",
    ):
        assert told in text, told
    assert "2026-01-03 00:00:00 UTC" in text  # the watermark


def test_a_feature_that_no_run_brings_online_waits_for_no_profile(pages: dict[str, str]) -> None:
    assert "keep no profile of it" in pages["/features/mixed/share"]
    assert "No run has kept a profile yet" in pages["/features/spent/sum_7d"]


def test_a_page_of_a_service_tells_keys_fingerprint_and_how_to_ask(store: FeatureStore, pages: dict[str, str]) -> None:
    text = pages["/services/open_v1"]
    assert store.bound.services["open_v1"].fingerprint in text
    for told in (
        "customer_id",
        "paid",
        "Open to all.",
        "openers",
        "TrainingSet open_v1",
        "curl http://127.0.0.1:8000/v1/online-features",
    ):
        assert told in text, told


def test_the_question_shown_can_be_asked(page: TestClient, pages: dict[str, str]) -> None:
    shown = re.search(r"-d &#39;(.*?)&#39;|-d '(.*?)'</code>", pages["/services/open_v1"])
    assert shown is not None
    body = (shown[1] or shown[2]).replace("&#34;", '"')
    answer = page.post("/v1/online-features", content=body, headers={"content-type": "application/json", "accept": "*/*"})
    assert answer.status_code == 200
    assert answer.json()["feature_names"] == ["amount", "sum_7d", "share"]


def test_a_question_has_values_that_are_read_as_their_types() -> None:
    types = ["int8", "float", "bool", "string", "binary", "date32", "timestamp[us, UTC]", "decimal128(9, 2)", "list<int64>"]
    keys = {family: family for family in ("integer", "text", "bool", "date", "binary")}
    served = Served("s", "", keys, {f"c{n}": dtype for n, dtype in enumerate(types)}, {}, {})
    asked = json.loads(_question(served))
    checked_request({f"c{n}": parse_dtype(dtype) for n, dtype in enumerate(types)}, asked["request"], 1)
    assert asked["entities"] == {"integer": [1], "text": ["a"], "bool": [True], "date": ["2026-01-02"], "binary": ["YQ=="]}


@pytest.mark.parametrize(
    "query, first, others",
    [
        ("q=sum_7d", "/features/spent/sum_7d", ["/features/mixed/share"]),
        ("q=SPENT", "/views/spent", []),
        ("kind=source", "/sources/payments", ["/views/spent"]),
        ("owner=openers", "/services/open_v1", ["/services/veiled_v1"]),
        ("tag=pii%3Ayes", "/sources/payments", ["/sources/veiled_source"]),
        ("q=open&kind=service", "/services/open_v1", ["/services/veiled_v1"]),
    ],
)
def test_a_search_finds_by_word_kind_owner_and_tag(page: TestClient, query: str, first: str, others: list[str]) -> None:
    results = page.get(f"/?{query}").text.partition('id="results"')[2]
    shown = re.findall(r'<th scope="row"><a href="([^"]+)"', results)
    assert shown[0] == first
    assert not set(others) & set(shown)


@pytest.mark.parametrize(
    "query", ["q=nothing_like_it", "page=99999999999999", "page=-1", "q=%00%ff", "kind=x", "q=" + "a+" * 900]
)
def test_an_odd_question_is_answered(page: TestClient, query: str) -> None:
    assert page.get(f"/?{query}").status_code == 200


def test_pages_are_whole_and_small_and_load_nothing_from_elsewhere(pages: dict[str, str]) -> None:
    for address, text in pages.items():
        assert len(text.encode()) < 150_000, address
        assert text.count("<h1>") == 1, address
        assert text.count("<main ") == text.count("</main>") == 1
        assert not re.search(r'(?:src|href|action)="(?!/|#)', text), address
        assert not {name for name in attributes(text) if name.startswith("on") or name == "style"}, address
        for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
            ElementTree.fromstring(svg)


# --- names can do no harm ---------------------------------------------------------------------------------------------


def test_words_of_definitions_are_text_wherever_they_stand(pages: dict[str, str], page: TestClient) -> None:
    searched = page.get("/", params={"q": HOSTILE, "owner": HOSTILE, "tag": HOSTILE}).text
    for text in (*pages.values(), searched):
        assert "<script>alert" not in text
        assert "<img" not in text
        assert len(re.findall("<script", text)) == 1


@pytest.mark.parametrize(
    "address",
    ["/views/<script>alert(1)</script>", "/services/%22%3E%3Cimg%20src=x%3E", "/%0d%0aset-cookie:x=1", "/features/a/%2e%2e/b"],
)
def test_an_address_is_not_repeated_as_markup_or_header(page: TestClient, address: str) -> None:
    answer = page.get(address)
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
    assert "set-cookie" not in answer.headers


def test_every_page_forbids_scripts_and_frames_of_others(page: TestClient) -> None:
    for address in ("/", "/nowhere", "/static/page.js"):
        headers = page.get(address).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_the_one_style_of_a_page_is_the_one_allowed(page: TestClient) -> None:
    answer = page.get("/")
    [style] = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in answer.headers["content-security-policy"]
    assert " style=" not in answer.text


@pytest.mark.parametrize(
    "cookies, theme",
    [("featurestore_theme=dark", "dark"), ("a=b; featurestore_theme=light; c=d", "light"), ("featurestore_theme=automatic", ""),
     ("featurestore_theme=dark\"><script>", ""), ("xfeaturestore_theme=dark", ""), ("", "")],
)  # fmt: skip
def test_a_page_comes_in_the_theme_that_was_chosen(page: TestClient, cookies: str, theme: str) -> None:
    text = page.get("/", headers={"cookie": cookies}).text
    assert re.search(r"<html lang=\"en\"(.*)>", text)[1] == (f' data-theme="{theme}"' if theme else "")  # type: ignore[index]


def test_without_keys_other_names_for_this_machine_are_refused(page: TestClient) -> None:
    """Or else a page of evil.example, whose name was made to mean 127.0.0.1, could read ours."""
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""):
        assert page.get("/", headers={"host": host}).status_code == 421, host
    for host in ("127.0.0.1", "localhost:8000", "[::1]:8000", "LOCALHOST"):
        assert page.get("/", headers={"host": host}).status_code == 200, host


def test_a_host_that_is_no_host_is_not_repeated(locked: tuple[Application, Path, Mapping[str, str]]) -> None:
    app, _, secrets = locked
    asking = browser(app, authorization=f"Bearer {secrets['all']}")
    text = asking.get("/services/open_v1", headers={"host": "x'; rm -rf ~ #"}).text
    assert "rm -rf" not in text
    assert "curl http://127.0.0.1:8000/" in text
    assert "curl https://shop.example/" in asking.get(
        "/services/open_v1", headers={"host": "shop.example", "x-forwarded-proto": "https"}
    ).text  # fmt: skip


# --- how it is asked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_pages_are_read_only(page: TestClient, method: str) -> None:
    for address in ("/", "/services/open_v1", "/static/page.js"):
        answer = page.request(method, address)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_head_is_as_get_without_a_body(page: TestClient) -> None:
    head, get = page.head("/"), page.get("/")
    assert (head.status_code, head.headers["etag"]) == (200, get.headers["etag"])


def test_what_has_not_changed_is_not_sent_again(page: TestClient) -> None:
    first = page.get("/services/open_v1")
    again = page.get("/services/open_v1", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content, "content-length" in again.headers) == (304, b"", False)
    [script] = re.findall(r'<script src="(/static/page\.js[^"]*)"', first.text)
    assert "immutable" in page.get(script).headers["cache-control"]
    assert page.get("/static/page.js").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "address, status", [("/nowhere", 404), ("/services/nobody", 404), ("/views/spent/x", 404), ("/static/../app.py", 404)]
)
def test_browsers_get_pages_of_errors_and_others_problems(page: TestClient, address: str, status: int) -> None:
    told = page.get(address)
    assert (told.status_code, told.headers["content-type"]) == (status, "text/html; charset=utf-8")
    other = page.get(address, headers={"accept": "application/json"})
    assert (other.status_code, other.headers["content-type"]) == (status, "application/problem+json")
    assert other.json()["status"] == status


def test_what_fails_is_a_page_that_says_nothing_of_this_machine(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from featurestore.server.page import pages as written

    def fail(*_: object) -> str:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(written, "_filters", fail)
    answer = page.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "secret" not in answer.text
    assert "FS511" in answer.text


def test_the_paths_of_programs_are_as_they_were(page: TestClient) -> None:
    assert page.get("/health").json() == {"status": "ok"}
    assert page.get("/v1/feature-services").headers["content-type"] == "application/json"
    assert page.get("/metrics").status_code == 200
    assert page.post("/v1/online-features", content=b"{").headers["content-type"] == "application/problem+json"
    assert page.get("/v1/nothing", headers={"accept": "*/*"}).headers["content-type"] == "application/problem+json"


def test_the_page_can_be_off(store: FeatureStore) -> None:
    app = create_app(store.reader, limits=Server.model_validate({"page": False}))
    assert browser(app).get("/").headers["content-type"] == "application/problem+json"


# --- who may see what -------------------------------------------------------------------------------------------------


def test_a_browser_is_sent_to_sign_in_and_then_where_it_wanted_to_go(
    locked: tuple[Application, Path, Mapping[str, str]],
) -> None:
    app, _, secrets = locked
    asking = browser(app)
    sent = asking.get("/services/open_v1?page=1")
    assert (sent.status_code, sent.headers["location"]) == (303, f"{SIGN_IN}?to=%2Fservices%2Fopen_v1%3Fpage%3D1")
    form = asking.get(sent.headers["location"])
    assert form.status_code == 200
    assert 'value="/services/open_v1?page=1"' in form.text
    wrong = asking.post(SIGN_IN, data={"key": "fsk_00000000_" + "x" * 43, "to": "/"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (403, False)
    right = asking.post(SIGN_IN, data={"key": f" {secrets['open']} ", "to": "/services/open_v1?page=1"})
    assert (right.status_code, right.headers["location"]) == (303, "/services/open_v1?page=1")
    cookie = right.headers["set-cookie"]
    assert secrets["open"] not in cookie
    assert re.search(r"; Path=/; Max-Age=\d+; HttpOnly; SameSite=Strict$", cookie)
    assert asking.get("/services/open_v1").status_code == 200
    out = asking.post("/sign-out")
    assert (out.status_code, out.headers["location"]) == (303, SIGN_IN)
    assert asking.get("/").status_code == 303


def test_over_https_the_cookie_is_sent_over_https_alone(locked: tuple[Application, Path, Mapping[str, str]]) -> None:
    app, _, secrets = locked
    signed = browser(app).post(SIGN_IN, data={"key": secrets["all"]}, headers={"x-forwarded-proto": "https"})
    assert signed.headers["set-cookie"].endswith("; Secure")


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "/%5cevil", "/a\r\nset-cookie: x", "javascript:1", ""]
)
def test_sign_in_leads_nowhere_else(locked: tuple[Application, Path, Mapping[str, str]], to: str) -> None:
    app, _, secrets = locked
    location = browser(app).post(SIGN_IN, data={"key": secrets["all"], "to": to}).headers["location"]
    assert location == "/"


def test_a_session_looks_features_up_from_the_page_and_pushes_nothing(
    locked: tuple[Application, Path, Mapping[str, str]],
) -> None:
    app, _, secrets = locked
    asking = browser(app)
    asking.post(SIGN_IN, data={"key": secrets["all"]})
    question = {"feature_service": "open_v1", "entities": {"customer_id": [1]}, "request": {"paid": [1.0]}}
    from_page = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
    assert asking.post("/v1/online-features", json=question, headers=from_page).status_code == 200
    elsewhere = {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}
    assert asking.post("/v1/online-features", json=question, headers=elsewhere).status_code == 401
    assert asking.post("/v1/push/payments", json={"rows": []}, headers=from_page).status_code == 403


def test_a_key_that_may_not_look_up_sees_no_page(store: FeatureStore, tmp_path: Path) -> None:
    secret, _ = keys.add(tmp_path / "keys.toml", "bringer", scopes=["push"])
    asking = browser(create_app(store.reader, access=Access(tmp_path / "keys.toml")), authorization=f"Bearer {secret}")
    for address in ("/", "/features/spent/sum_7d", "/skew"):
        answer = asking.get(address)
        assert (answer.status_code, "no scope &#39;lookup&#39;" in answer.text) == (403, True), address


def test_a_form_of_too_many_fields_signs_nobody_in(locked: tuple[Application, Path, Mapping[str, str]]) -> None:
    app, _, secrets = locked
    form = {"key": secrets["all"], **{f"f{n}": "x" for n in range(40)}}
    assert browser(app).post(SIGN_IN, data=form).status_code == 403


def test_what_asks_for_no_path_is_no_page(page: TestClient) -> None:
    assert [page.app.page.owns(path) for path in ("*", "", "x")] == [False] * 3  # type: ignore[attr-defined]


def test_sign_in_from_elsewhere_is_refused(locked: tuple[Application, Path, Mapping[str, str]]) -> None:
    app, _, secrets = locked
    for site in ("cross-site", "same-site"):
        sent = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
        assert browser(app).post(SIGN_IN, data={"key": secrets["all"]}, headers=sent).status_code == 403


def test_a_session_ends_with_its_key_with_time_and_with_any_change_to_it(
    locked: tuple[Application, Path, Mapping[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, file, _ = locked
    key = keys.read(file)[0]
    session = app.access.sessions.of(key)
    name = "featurestore_session"
    assert browser(app, cookie=f"{name}={session}").get("/").status_code == 200
    other = keys.read(file)[1].id
    for forged in (
        session[:-1] + ("0" if session[-1] != "0" else "1"),
        session.replace(key.id, other),
        session.replace(".", ".9", 1),
        "x",
        "",
    ):
        assert browser(app, cookie=f"{name}={forged}").get("/").status_code == 303, forged
    monkeypatch.setattr("featurestore.server.sessions.time.time", lambda: 9e9)
    assert browser(app, cookie=f"{name}={session}").get("/").status_code == 303
    monkeypatch.undo()
    keys.revoke(file, "all")
    monkeypatch.setattr(app.access._file, "_look_at", 0.0)
    assert browser(app, cookie=f"{name}={session}").get("/").status_code == 303


def test_a_key_for_one_service_learns_nothing_of_any_other(locked: tuple[Application, Path, Mapping[str, str]]) -> None:
    app, _, secrets = locked
    asking = browser(app, authorization=f"Bearer {secrets['open']}")
    seen = crawled(asking)
    paths = {urlsplit(address).path for address in seen}
    assert {"/services/open_v1", "/views/spent", "/features/mixed/share", "/sources/payments", "/entities/customer"} <= paths
    for address, text in seen.items():
        assert not re.search("veiled|veilers", text), address
    for query in ("q=veiled", "owner=veilers", "owner=veiled+team", "tag=veiled:yes", "kind=service&q=v1"):
        found = asking.get(f"/?{query}").text.partition('id="results"')[2]
        assert not re.findall(r'<th scope="row"><a href="[^"]*veiled', found), query
    assert "1 definition" in asking.get("/?kind=service").text


def test_metrics_tell_a_key_for_one_service_of_its_views_alone(locked: tuple[Application, Path, Mapping[str, str]]) -> None:
    app, _, secrets = locked
    told = {who: browser(app, authorization=f"Bearer {secret}").get("/metrics").text for who, secret in secrets.items()}
    assert 'featurestore_generation{fingerprint="' in told["open"]
    assert 'view="spent"' in told["open"]
    assert ("veiled" in told["open"], "veiled_view" in told["all"]) == (False, True)
    assert ["\nfeaturestore_services 1.0" in told["open"], "\nfeaturestore_services 2.0" in told["all"]] == [True, True]


@pytest.mark.parametrize(
    "address",
    [
        "/services/veiled_v1",
        "/views/veiled_view",
        "/views/also_veiled",
        "/features/mixed/veiled_share",
        "/features/veiled_view/veiled_column",
        "/sources/veiled_source",
    ],
)
def test_what_may_not_be_seen_is_as_if_it_were_not_there(
    locked: tuple[Application, Path, Mapping[str, str]], address: str
) -> None:
    app, _, secrets = locked
    asking = browser(app, authorization=f"Bearer {secrets['open']}")
    veiled, absent = asking.get(address), asking.get(address.replace("veiled", "absent"))
    assert veiled.status_code == absent.status_code == 404
    without_number = [re.sub(r"request <code>[^<]*", "", answer.text) for answer in (veiled, absent)]
    assert without_number[0].replace("veiled", "absent") == without_number[1]
    assert browser(app, authorization=f"Bearer {secrets['all']}").get(address).status_code == 200


# --- where it comes from ----------------------------------------------------------------------------------------------


def _reader_without_catalogue(store: FeatureStore) -> OnlineReader:
    """A store as an older version has filled it."""
    from featurestore.online.memory import MemoryStore

    older = MemoryStore()
    with store.online.read() as snapshot:
        metas = {name: raw for name, raw in snapshot.metas().items() if name != "catalogue"}

    def fill(batch: object) -> None:
        for name, raw in metas.items():
            batch.put_meta(name, raw)  # type: ignore[attr-defined]

    older.write(fill)
    return OnlineReader(older, store.clock)


def test_a_store_without_a_catalogue_shows_what_it_knows(store: FeatureStore) -> None:
    asking = browser(create_app(_reader_without_catalogue(store)))
    found = crawled(asking)
    assert {"/services/open_v1", "/views/spent", "/features/spent/sum_7d", "/sources/payments"} <= {
        urlsplit(a).path for a in found
    }
    assert "older featurestore" in found["/"]
    assert "sum(&#34;amount&#34;) over 7d" in found["/features/spent/sum_7d"]


def test_a_store_without_a_catalogue_hides_the_same(store: FeatureStore, tmp_path: Path) -> None:
    secret, _ = keys.add(tmp_path / "keys.toml", "open", services=["open_v1"])
    app = create_app(_reader_without_catalogue(store), access=Access(tmp_path / "keys.toml"))
    for address, text in crawled(browser(app, authorization=f"Bearer {secret}")).items():
        assert not re.search("veiled_v1|veiled_view|veiled_source|also_veiled|veilers", text), address


def test_before_anything_is_materialized_the_manifest_is_shown(store: FeatureStore, tmp_path: Path) -> None:
    from featurestore.online.memory import MemoryStore

    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(store.bound.to_manifest()))
    asking = browser(create_app(OnlineReader(MemoryStore(), store.clock), manifest=manifest))
    found = crawled(asking)
    assert "/services/open_v1" in found
    assert "holds no feature service yet" in found["/"]
    assert "It is not served" in found["/services/open_v1"]


def test_a_manifest_tells_of_on_demand_features_those_that_may_be_seen(store: FeatureStore, tmp_path: Path) -> None:
    from featurestore.online.memory import MemoryStore

    reader, manifest, file = OnlineReader(MemoryStore(), store.clock), tmp_path / "manifest.json", tmp_path / "keys.toml"
    manifest.write_text(json.dumps(store.bound.to_manifest()))
    for services, status in (([], 200), (["open_v1"], 404)):
        secret, _ = keys.add(file, f"of_{status}", services=services)
        asking = browser(create_app(reader, manifest=manifest, access=Access(file)), authorization=f"Bearer {secret}")
        assert asking.get("/features/mixed/veiled_share").status_code == status
        assert asking.get("/features/mixed/share").status_code == 200
        assert ("veiled" in asking.get("/views/mixed").text) == (status == 200)


def test_a_catalogue_of_a_newer_version_or_a_broken_one_is_as_none(store: FeatureStore) -> None:
    for meta, body in (({"format": 99}, b""), ({}, b"no zlib")):
        reader = _reader_without_catalogue(store)
        document = json.dumps({"format": 1, "outline": "", "digest": "x", **meta}).encode()

        def fill(batch: object, document: bytes = document, body: bytes = body) -> None:
            batch.put_meta("catalogue", document)  # type: ignore[attr-defined]
            batch.put("catalogue", [(b"document", body or b"x")])  # type: ignore[attr-defined]

        reader.store.write(fill)
        assert "older featurestore" in browser(create_app(reader)).get("/").text


def test_a_changed_catalogue_is_shown_without_a_restart(store: FeatureStore) -> None:
    reader = _reader_without_catalogue(store)
    asking = browser(create_app(reader))
    assert "older featurestore" in asking.get("/").text
    catalogue.keep(reader.store, "1", lambda: making.document(store.bound))
    text = asking.get("/").text
    assert "older featurestore" not in text
    assert "Open to all." in text


@pytest.fixture(scope="module")
def many() -> TestClient:
    """A thousand features, of fifty views and one service."""
    entries = [catalogue.Entry("source", "wide", facts={"columns": {f"c{n}": "double" for n in range(1_000)}})]
    columns = []
    for v in range(10):
        names = [f"f{v}_{n}" for n in range(100)]
        facts = {
            "kind": "feature",
            "source": "wide",
            "features": names,
            "keys": [["id", "id", "int64"]],
            "columns": [],
            "ttl": None,
        }
        facts |= {"exact": False, "online": True, "fingerprint": "0" * 32, "where": None, "entities": []}
        entries.append(catalogue.Entry("view", f"v{v}", facts=facts, texts={"sql": "x" * 90_000}, uses=(("source", "wide"),)))
        for n, name in enumerate(names):
            comes_from = [["wide", f"c{v * 100 + n}", ["value"]], ["wide", "c0", ["where", "tie"]]]
            told = {
                "type": "double",
                "formula": f"{name} = c",
                "aggregate": None,
                "window": None,
                "offset": 0,
                "comes_from": comes_from,
            }
            entries.append(catalogue.Entry("feature", f"v{v}/{name}", "d" * 300, f"owner {n}", {"t": str(n)}, facts=told))
            columns.append({"name": name, "view": f"v{v}", "feature": name, "type": "double", "instance": f"v{v}"})
    facts = {"fingerprint": "0" * 32, "keys": {"id": "int64"}, "request": {}, "columns": columns, "hidden": [], "labels": []}
    texts = {"plan": "p" * 90_000, "sql": "s\n" * 90_000}
    entries.append(
        catalogue.Entry("service", "all", facts=facts, texts=texts, uses=tuple(("view", f"v{v}") for v in range(10)))
    )
    from featurestore.online.memory import MemoryStore

    made = MemoryStore()
    catalogue.keep(made, "many", lambda: document_of(entries))
    return browser(create_app(OnlineReader(made, FixedClock(NOW))))


def test_pages_stay_small_with_a_thousand_features(many: TestClient) -> None:
    for address in (
        "/",
        "/?q=f1",
        "/?page=3",
        "/services/all",
        "/services/all?page=20",
        "/views/v3",
        "/features/v0/f0_0",
        "/sources/wide",
        "/sources/wide?page=2",
    ):
        answer = many.get(address)
        assert answer.status_code == 200, address
        assert len(answer.content) < 150_000, (address, len(answer.content))
    assert "1000" in many.get("/services/all").text


# --- as a process -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_worker_knows_who_signed_in_at_another(tmp_path: Path) -> None:
    root = make_project(tmp_path / "shop", rows=200)
    secret, _ = keys.add(root / "keys.toml", "me")
    with serving(root, workers=2, api_keys="keys.toml") as served:
        form = urlencode({"key": secret}).encode()
        signed = served.send("POST", SIGN_IN, form, {"content-type": "application/x-www-form-urlencoded"})
        assert signed.status == 303
        cookie = signed.headers["set-cookie"].partition(";")[0]
        assert [served.get("/services/fraud_v1", {**HTML, "cookie": cookie}).status for _ in range(20)] == [200] * 20
        head = served.send("HEAD", "/services/fraud_v1", headers={**HTML, "cookie": cookie})
        assert (head.status, head.body) == (200, b"")


def test_a_run_keeps_the_catalogue_unless_the_page_is_off(tmp_path: Path) -> None:
    root = make_project(tmp_path / "shop", rows=100)
    with FeatureStore(root).reader.store.read() as snapshot:
        assert catalogue.raw_of(snapshot) is not None
    (root / "featurestore.toml").write_text('[project]\nname = "shop"\n[server]\npage = false\n')
    shutil.rmtree(root / ".featurestore")
    FeatureStore(root).materialize()
    with FeatureStore(root).reader.store.read() as snapshot:
        assert catalogue.raw_of(snapshot) is None
