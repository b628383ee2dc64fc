"""Boards tell what checks found: the worst first, in words, in bounded pieces, and to nobody who may not see it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from featurestore.catalogue import Catalogue, Entry
from featurestore.config import Config
from featurestore.errors import UsageError
from featurestore.intervals import format_instant
from featurestore.monitoring.monitor import failed
from featurestore.monitoring.results import Result, append
from featurestore.online.generations import Generation
from featurestore.profiles import Profile
from featurestore.server.page import boards
from featurestore.server.page.asked import Asked
from featurestore.server.page.boards.drawing import overlaid, sparkline
from featurestore.server.page.boards.findings import MOST_POINTS, Last, condensed
from featurestore.server.page.boards.freshness import rows as freshness_rows
from featurestore.server.page.live import Live
from tests.functional import found
from tests.functional.found import HOUR, NOW

FEATURES = tuple(f"f_{n}" for n in range(12))
LIMIT = 150_000

Ask = Callable[..., str]


def entries(services: tuple[str, ...] = ("fraud_v1",)) -> Catalogue:
    """fraud_v1 is made of card_payments of source payments; secret_v1 of secrets, and of a view called as the first service."""
    columns = [{"name": f, "view": "card_payments", "feature": f} for f in FEATURES]
    every = [
        Entry("source", "payments"),
        Entry(
            "view", "card_payments", facts={"features": list(FEATURES), "source": "payments"}, uses=(("source", "payments"),)
        ),
        *(Entry("feature", f"card_payments/{f}", uses=(("view", "card_payments"),)) for f in FEATURES),
        Entry("service", "fraud_v1", facts={"columns": columns}, uses=(("view", "card_payments"),)),
        Entry("source", "secrets"),
        Entry("view", "fraud_v1", facts={"source": "secrets"}, uses=(("source", "secrets"),)),
        Entry("service", "secret_v1", uses=(("view", "fraud_v1"),)),
    ]
    return Catalogue(every).seen_by(lambda name: name in services)


def generation(view: str, number: int, watermark: int) -> Generation:
    return Generation(
        view, "ab" * 32, number, watermark, 0, f"t{number}", 1234, (), ({"path": "a", "size": 1, "sha256": "c"},), {}
    )


LIVE = Live(
    {
        "card_payments": (generation("card_payments", 7, NOW - 5 * HOUR),),
        "merchants": (generation("merchants", 8, NOW - HOUR // 6),),
    },
    {"card_payments": (generation("card_payments", 5, NOW - 29 * HOUR),)},
    {},
)


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """`ask("/drift", of="fraud_v1")` is the page over what lies in the project's folder."""

    def page(path: str, *, limited: bool = False, live: Live = LIVE, now: int = NOW, **query: str) -> str:
        return write(path, asked(tmp_path, path, query, limited=limited, live=live, now=now))

    def write(path: str, given: Asked) -> str:
        return boards.alerts(given) if path == "/" else boards.PAGES[path][1](given)

    return page


def asked(root: Path, path: str, query: dict[str, str], *, limited: bool = False, live: Live = LIVE, now: int = NOW) -> Asked:
    services = ("fraud_v1",) if limited else ("fraud_v1", "secret_v1")
    live = live.seen_by(lambda name: name in services, ["card_payments"]) if limited else live
    return Asked(path, query, entries(services), live, now, root=root, config=Config(), limited=limited)


def folder(root: Path) -> Path:
    return root / ".featurestore" / "monitor"


def plant(root: Path, features: tuple[str, ...] = FEATURES, looks: int = found.LOOKS) -> None:
    found.plant(
        folder(root), service="fraud_v1", features=features, view="card_payments", source="payments", others=["merchants"],
        looks=looks,
    )  # fmt: skip


def told(page: str) -> str:
    """The words of a page, without its pictures' numbers."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def rows(page: str) -> list[str]:
    """The words of each row of its tables."""
    return [told(row).strip() for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL)]


# What is told.


def test_a_stopped_feed_stands_first_in_words_and_with_a_sign(ask, tmp_path):
    plant(tmp_path)
    page = ask("/freshness")
    _, first, *others = rows(page)
    assert first.startswith("view card_payments card_payments is behind ✖ stopped 5 h at most 2 h")
    assert any(row.startswith("view merchants ✓ ok 10 min at most 2 h") for row in others)
    assert any("✖ alert 0 usually 20 to 60 per 1h" in row and "▲ warning 1 missing 2025-12-28" in row for row in others)
    assert "Age of card_payments over 12 looks, 5 h now, at most 2 h" in page


def test_a_view_stops_even_if_the_monitor_stopped_before_it(ask, tmp_path):
    append(
        folder(tmp_path), [Result(at=NOW, check="freshness", kind="view", subject="merchants", value=600.0, threshold=7200.0)]
    )
    assert "✓ ok 10 min at most 2 h" in told(ask("/freshness"))
    later = told(ask("/freshness", now=NOW + 3 * HOUR))
    assert "merchants ✖ stopped 3 h 10 min at most 2 h" in later
    assert "the monitor does not run" in later


def test_a_view_that_has_caught_up_since_it_alerted_is_not_stopped(ask, tmp_path):
    alert = Result(at=NOW - HOUR, check="freshness", kind="view", subject="merchants", status="alert", value=9_000.0,
                   threshold=7_200.0, what="merchants is behind")  # fmt: skip
    append(folder(tmp_path), [alert])
    page = told(ask("/freshness"))
    assert "view merchants ✓ ok 10 min at most 2 h" in page
    assert "is behind" not in page
    assert "merchants is behind ✖ stopped 2 h 10 min at most 2 h" in told(ask("/freshness", now=NOW + 2 * HOUR))


def test_features_stand_by_their_effect_and_the_overview_shows_the_worst(ask, tmp_path):
    plant(tmp_path)
    overview, whole = ask("/drift"), ask("/drift", kind="service", of="fraud_v1")
    assert [row.split()[0] for row in rows(overview)[2:]] == ["f_0", "f_6", "f_5", "f_11"]
    assert rows(overview)[1].startswith("all features together ✓ ok 0.5 0.6")
    assert "Show all 13 of fraud_v1" in told(overview)
    assert len(rows(whole)) == 1 + 13
    assert "f_0 ✖ alert 0.458 0.2 PSI 0.458 KS 0.229 p 1e-09 values moved up" in told(whole)
    assert whole.count('class="bar"') == 12


def test_skew_tells_the_rate_the_causes_and_examples(ask, tmp_path):
    plant(tmp_path)
    page = told(ask("/skew"))
    assert (
        "f_1 ✖ alert 0.1 % 0 % 10 of 10,000 2 cannot be verified late rows 8 , other 2 1 of 1,000 served values differs" in page
    )
    assert "customer_id=40 2026-01-01T04:12:00Z 12.5 13.5 late rows" in page
    assert "customer_id=44" in page
    assert "customer_id=45" not in page, "five examples"


def test_history_names_each_generation_live_and_kept(ask):
    _, live, kept, other = rows(ask("/history"))
    assert live.split() == [
        "card_payments",
        "✓",
        "live",
        "7",
        "2026-01-01",
        "00:10:00",
        "UTC",
        "1,234",
        "1",
        "abababababab",
        "–",
    ]
    assert kept.startswith("card_payments ○ kept 5")
    assert other.startswith("merchants ✓ live 8")
    assert len(rows(ask("/history", of="merchants"))) == 2


def test_history_names_generations_that_the_store_remembers(ask):
    live = replace(LIVE, past={"card_payments": ((3, NOW - 50 * HOUR),), "merchants": ((2, NOW - 60 * HOUR),)})
    assert rows(ask("/history", live=live, of="card_payments"))[3].split()[1:6] == [
        "·",
        "replaced",
        "3",
        "2025-12-30",
        "03:10:00",
    ]
    assert [row.split()[0] for row in rows(ask("/history", live=live, limited=True))[1:]] == ["card_payments"] * 3


def test_history_tells_when_a_run_was_profiled(ask, tmp_path):
    profiled(tmp_path, "20260101T001000.000000Z", f_0=[1])
    _, live, kept = rows(ask("/history", of="card_payments"))
    assert live.endswith("UTC")
    assert kept.endswith("–")


def test_open_alerts_stand_on_the_first_page(ask, tmp_path):
    assert ask("/") == ""
    plant(tmp_path)
    page = told(ask("/"))
    assert "4 open alerts" in page
    assert "freshness of card_payments card_payments is behind" in page
    assert "drift of fraud_v1: f_0 values moved up" in page


def test_the_first_page_reads_the_last_look_and_nothing_else(ask, tmp_path):
    plant(tmp_path)
    alert = Result(at=NOW, check="freshness", kind="view", subject="card_payments", status="alert", what="of the last look")
    last = {"format": 1, "at": format_instant(NOW), "results": [alert.to_json()]}
    (folder(tmp_path) / "latest.json").write_text(json.dumps(last))
    assert "1 open alert " in told(ask("/"))
    assert "of the last look" in ask("/")
    (folder(tmp_path) / "latest.json").write_text("cut of")
    assert ask("/") == ""


def test_an_alert_of_what_nobody_looks_at_any_more_is_not_open(ask, tmp_path):
    gone = Result(at=NOW - 48 * HOUR, check="freshness", kind="view", subject="gone", status="alert")
    append(folder(tmp_path), [gone, Result(at=NOW, check="freshness", kind="view", subject="merchants")])
    assert "No open alert" in ask("/")


def test_an_alert_ends_with_the_next_look_that_finds_nothing(ask, tmp_path):
    append(folder(tmp_path), [Result(at=NOW - HOUR, check="freshness", kind="view", subject="merchants", status="alert")])
    assert "1 open alert" in ask("/")
    append(folder(tmp_path), [Result(at=NOW, check="freshness", kind="view", subject="merchants")])
    assert "No open alert" in ask("/"), "a file that has grown is read again"


@pytest.mark.parametrize("path", boards.PAGES)
def test_an_empty_board_says_what_to_run(ask, path):
    nothing = Live({}, {}, {})
    assert re.search("Run <code>featurestore (monitor --once|materialize)</code>", ask(path, live=nothing))
    assert "Nothing was found" in ask(path, live=nothing, of="nobody") or path in ("/freshness", "/history")


def profiled(root: Path, watermark: str, **columns: list[Any]) -> None:
    path = root / ".featurestore" / "profiles" / "card_payments" / f"{watermark}.profile"
    path.parent.mkdir(parents=True, exist_ok=True)
    Profile.of(pa.table(columns), at=None).write(path)


def test_a_feature_s_page_shows_its_values_at_the_last_runs_and_what_was_found(tmp_path):
    plant(tmp_path)
    profiled(tmp_path, "20251231T000000.000000Z", f_0=[1.0, 2.0, None], f_1=["a", "a", "b"])
    profiled(tmp_path, "20260101T001000.000000Z", f_0=[1.0, 2.0, 4.0, float("nan")], f_1=["a", "<b>", None, None])
    profiled(tmp_path, "20260101T002000.000000Z", other=[1])
    (tmp_path / ".featurestore" / "profiles" / "card_payments" / "20260101T003000.000000Z.profile").write_text("no profile")
    given = asked(tmp_path, "/features/card_payments/f_0", {})
    number, words, nothing = (
        boards.fragment(given, Entry("feature", f"card_payments/{name}")) for name in ("f_0", "f_1", "f_2")
    )
    assert "keys 4 NULL 0 % distinct 4 not finite 1 least 1 greatest 4 mean 2.33333 median 2" in told(number)
    assert "2 runs, the last as of 2026-01-01 00:10:00 UTC" in told(number)
    assert "Median of f_0 over the last 2 runs, 2 at the last" in number
    assert "✖ alert 0.458" in told(number), "its drift"
    assert "✖ stopped" in told(number), "its view"
    assert "NULL 50 % distinct 2" in told(words)
    assert "&lt;b&gt;" in words
    assert "1 of 1,000 served values differs" in told(words), "its skew"
    assert "Median" not in words
    assert "No run has kept a profile yet" in nothing


def test_pages_of_feeds_and_services_tell_what_was_found_of_them(tmp_path):
    plant(tmp_path)
    given = asked(tmp_path, "/", {})
    assert "✖ stopped" in told(boards.fragment(given, Entry("view", "card_payments")))
    source, service = (boards.fragment(given, Entry(*ref)) for ref in (("source", "payments"), ("service", "fraud_v1")))
    assert "stopped" not in source, "a source called otherwise"
    assert "1 missing 2025-12-28" in told(source)
    assert "f_0 ✖ alert" in told(service)
    assert "Show all 13" in told(service)
    for kind, name in (("entity", "payments"), ("source", "card_payments"), ("service", "secret_v1")):
        assert boards.fragment(given, Entry(kind, name)) == ""


# Who may see it.


@pytest.mark.parametrize("path", ["/drift", "/"])
def test_an_error_of_a_check_names_nothing_to_who_sees_some_services(ask, tmp_path, path):
    error = UsageError("FS107", "no log of it", where="/home", known=["fraud_v1", "secret_v1"])
    append(folder(tmp_path), [failed(error, at=NOW, check="drift", kind="service", subject="fraud_v1")])
    assert "known: fraud_v1, secret_v1" in ask(path)
    assert "could not run" in ask(path, limited=True)
    assert "secret_v1" not in ask(path, limited=True)


@pytest.mark.parametrize("path", [*boards.PAGES, "/"])
def test_who_sees_some_services_sees_nothing_of_others(ask, tmp_path, path):
    plant(tmp_path)
    secrets = [("service", "secret_v1"), ("view", "fraud_v1"), ("source", "secrets"), ("view", "merchants"), ("project", "x"),
               ("training_set", "fraud_v1"), ("source", "card_payments")]  # fmt: skip
    append(folder(tmp_path), [
        Result(at=NOW + 1, check=check, kind=kind, subject=subject, feature="veiled", status="alert", value=1.0, what="veiled")
        for kind, subject in secrets for check in ("drift", "skew", "freshness")
    ])  # fmt: skip
    page = ask(path, limited=True)
    for word in ("veiled", "secret", "merchants"):
        assert word not in page
    for kind, subject in secrets:
        assert "veiled" not in ask(path, limited=True, kind=kind, of=subject)
    if path == "/freshness":
        assert "card_payments" in page
        assert "payments" in page
    if path in ("/drift", "/skew"):
        assert "fraud_v1" in page
        assert "veiled" in ask(path), "who may see all does"


# What is odd or much.


@pytest.mark.parametrize(
    "details",
    [
        {
            "reference": None,
            "current": None,
            "psi": None,
            "causes": None,
            "examples": None,
            "history": None,
            "window": None,
            "missing": None,
        },
        {
            "reference": {"shares": None},
            "current": {"shares": [None, 0.5]},
            "psi": "much",
            "causes": [],
            "examples": [1, None, {}],
        },
        {
            "reference": {"shares": ["a"]},
            "current": 3,
            "p": True,
            "causes": {"x": None},
            "examples": [{"keys": None, "t": [1]}],
        },
        {
            "reference": {"shares": []},
            "missing": [None, 3],
            "history": [None, {"rows": None}, 3],
            "expected": [None],
            "window": [1, 2],
            "day": 3,
            "interval": None,
        },
        {
            "reference": {"shares": [0.0]},
            "current": {"shares": [1e308, 1e308]},
            "examples": {"a": 1},
            "missing": "2026-01-01",
            "day": "someday",
            "metrics": {"auc": None},
        },
    ],
)
@pytest.mark.parametrize(
    "check", ["drift", "skew", "freshness", "volume", "lateness", "partitions", "performance", "new_check"]
)
def test_details_that_are_not_as_expected_break_no_board(ask, tmp_path, details, check):
    for n, value in enumerate((None, 1e308, -1e308)):
        append(folder(tmp_path), [Result(at=NOW + n, check=check, kind="service", subject="fraud_v1", feature=f, value=value,
                                         status="odd", details=details) for f in (None, "f_0")])  # fmt: skip
    for path in boards.PAGES:
        ask(path)
        ask(path, kind="service", of="fraud_v1")
    ask("/")


def test_words_of_results_are_never_markup(ask, tmp_path):
    evil = "<script>alert(1)</script>\"'&"
    append(folder(tmp_path), [
        Result(at=NOW, check=check, kind="service", subject=evil, feature=evil, status="alert", what=evil, value=1.0,
               details={"causes": {evil: 1}, "examples": [{"keys": {evil: evil}, "t": evil, "served": evil}], "missing": [evil],
                        "day": evil, "interval": evil, "history": [1, 2], "metrics": {evil: 1}})
        for check in ("drift", "skew", "freshness", "volume", "partitions")
    ])  # fmt: skip
    for path in (*boards.PAGES, "/"):
        for query in ({}, {"kind": "service", "of": evil}):
            page = ask(path, **query)
            assert "<script>alert" not in page
            assert "script&gt;alert(1)" in page or path == "/history"


def test_boards_of_a_thousand_features_stay_small(ask, tmp_path):
    features = tuple(f"a_rather_long_name_of_a_feature_of_a_customer_{n}_sum_30d" for n in range(1_000))
    plant(tmp_path, features, looks=2)
    for path in (*boards.PAGES, "/"):
        for query in ({}, {"kind": "service", "of": "fraud_v1"}, {"kind": "service", "of": "fraud_v1", "page": "26"}):
            assert len(ask(path, **query).encode()) < LIMIT
    assert "Page 26 of 26, 1,001 in all" in ask("/drift", kind="service", of="fraud_v1", page="99")
    assert "open alert" in ask("/")


def test_a_series_is_bounded_and_its_newest_result_is_its_latest():
    many = [Result(at=n, check="drift", kind="service", subject="s", value=float(n)) for n in (*range(300), 5)]
    (series,) = condensed(many).series
    assert (len(series.points), series.latest.at, series.points[-1].value) == (MOST_POINTS, 299, 299.0)


def test_what_the_last_look_no_longer_speaks_of_is_over():
    def one(at: int, check: str, kind: str, subject: str, feature: str | None = None, what: str = "") -> Result:
        return Result(at=at, check=check, kind=kind, subject=subject, feature=feature, status="alert", what=what)

    before = [
        one(1, "freshness", "project", "shop", what="could not run: FS210"),  # it runs again
        one(1, "drift", "service", "typo_v9", what="could not run: FS101"),  # nobody asks for it any more
        one(1, "skew", "service", "s", what="no logged row has its t in the window"),  # there are rows now
        one(1, "skew", "service", "s", "gone"),  # a feature that the service had
        one(1, "reading", "source", "feed", what="it cannot be read: FS325"),  # it can be read again
        one(1, "skew", "service", "quiet", "kept"),  # of which nothing was logged since
        one(1, "drift", "training_set", "x.parquet", "kept"),  # compared by hand
        one(1, "skew", "service", "s", "x"),
    ]
    quiet = one(5, "skew", "service", "quiet", what="no logged row has its t in the window")
    last = [one(5, "skew", "service", "s", "x"), one(5, "freshness", "view", "v"), quiet]
    later = [one(6, "drift", "service", "s", what="could not run: by hand, since")]
    everything = condensed([*before, *last, *later])
    assert len(everything.series) == 11
    found = condensed([*before, *last, *later], Last.of(last))
    assert sorted((s.latest.check, s.latest.subject, s.latest.feature or "") for s in found.series) == [
        ("drift", "s", ""), ("drift", "x.parquet", "kept"), ("freshness", "v", ""), ("skew", "quiet", ""),
        ("skew", "quiet", "kept"), ("skew", "s", "x"),
    ]  # fmt: skip
    assert len(condensed(before, Last.of([])).series) == len(before), "no monitor ever looked"


def test_a_source_of_which_nothing_is_usual_is_not_called_fresh():
    def one(check: str, status: str) -> Result:
        return Result(at=1, check=check, kind="source", subject="s", status=status)

    for freshness, volume, state in (("skipped", "ok", "skipped"), ("skipped", "alert", "alert"), ("ok", "skipped", "ok")):
        [row] = freshness_rows(condensed([one("freshness", freshness), one("volume", volume)]), {}, 2)
        assert row.state.name == state


def test_a_series_of_days_and_windows_has_each_once_and_ends_with_the_newest():
    looks = [
        Result(at=look, check="performance", kind="service", subject="s", feature="score", value=float(day + look),
               details={"day": f"2026-01-0{day}", "metrics": {"auc": 0.5}})
        for look in (1, 2) for day in (3, 4, 5)
    ]  # fmt: skip
    (series,) = condensed(looks).series
    assert [p.value for p in series.points] == [5.0, 6.0, 7.0]
    assert series.latest.details["day"] == "2026-01-05"


# Pictures.


@pytest.mark.parametrize("values", [[], [None], [None, None], [float("nan")], [float("inf")]])
def test_there_is_no_picture_of_nothing(values):
    assert (sparkline(values, "x"), overlaid(values, values, "x")) == ("", "")


@pytest.mark.parametrize(
    "values", [[0.0], [5, 5, 5], [1e308, -1e308], [None, 1.0, None, 2.0], [1e-300, 2e-300], list(range(500))]
)
def test_pictures_stay_within_their_frame(values):
    numbers: list[Any] = list(values)
    for picture in (
        sparkline(numbers, "x", limits=[1.0]),
        overlaid(numbers, numbers[:1], "x"),
    ):
        if not picture:
            continue
        width, height = (float(found) for found in re.search(r'viewBox="0 0 (\d+) (\d+)"', picture).groups())
        path = re.search(r'class="line" d="([^"]+)"', picture)
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path[1] if path else ""):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height
        assert "nan" not in picture
        assert "inf" not in picture


def test_a_line_breaks_where_a_value_is_missing():
    assert sparkline([1.0, 2.0, None, 3.0, 1.0], "x").count("M") == 2


def test_more_bins_than_bars_are_added_up():
    shares = [0.01] * 100
    assert overlaid(shares, shares, "x") == overlaid([0.04] * 25, [0.04] * 25, "x")
