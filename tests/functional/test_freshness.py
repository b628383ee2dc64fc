"""`freshness` and `should-retrain` over projects and sources of every kind; what the engine counts against a slow count."""

from __future__ import annotations

import math
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, latest
from featurestore.engines.duckdb import Session, Settings
from featurestore.errors import FeatureStoreError
from featurestore.intervals import MICROS_PER_DAY as DAY
from featurestore.intervals import FixedClock, format_instant, parse_instant
from featurestore.monitoring.arrivals import HISTORY, HOUR, RECENT, of_source
from featurestore.monitoring.results import Result, append
from featurestore.sources import open_source
from scripts.planted import Feed, plant
from tests.functional.conftest import Cli

MONDAY = parse_instant("2026-01-05T00:00:00Z")
MINUTE = HOUR // 60
EPOCH = datetime(1970, 1, 1)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Feed:
    """A feed of five weeks: late on day 26, without the partition of day 29, stopped from noon of day 32 on."""
    return plant(tmp_path_factory.mktemp("planted"), days=35, late=[26], missing=[29], stopped=(32.5, 34.5))


def alerting(feed: Feed, day: float) -> list[str]:
    found = FeatureStore(feed.folder, clock=FixedClock(feed.day(day))).freshness(["readings"])
    return [r.check for r in found if r.status == "alert" and r.kind == "source"]


@pytest.mark.parametrize(
    "day, alerts",
    [
        (25.9, []),
        (26.1, ["freshness", "volume"]),  # late: nothing comes in at first
        (26.6, ["lateness", "volume"]),
        (27.6, []),
        (29.5, ["freshness", "volume"]),
        (31.1, ["partitions"]),
        (32.56, ["freshness", "volume", "partitions"]),  # within an hour and a half
        (33.9, ["freshness", "volume", "partitions"]),
        (34.9, ["partitions"]),
    ],
)
def test_what_was_planted_is_found_and_nothing_else(planted: Feed, day: float, alerts: list[str]):
    assert alerting(planted, day) == alerts


def test_what_is_known_later_moves_nothing(planted: Feed, tmp_path: Path):
    day = 20.4
    cut = tmp_path / "cut"
    shutil.copytree(planted.folder, cut)
    for path in (cut / "data" / "readings").glob("*/*.parquet"):
        table = pq.read_table(path)
        known = [at.value < planted.day(day) for at in table.column("loaded_at")]
        if any(known):
            pq.write_table(table.filter(pa.array(known)), path)
        else:
            shutil.rmtree(path.parent)
    found = [FeatureStore(folder).freshness(now=planted.day(day)) for folder in (planted.folder, cut)]
    assert found[0] == found[1]
    assert {r.status for r in found[0] if r.kind == "source"} == {"ok"}


def micros(text_or_datetime: datetime | None) -> int | None:
    return None if text_or_datetime is None else (text_or_datetime - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["created", "created or event", "delay", "naive in Paris", "quarantined"])
def test_what_the_engine_counts_is_what_a_slow_count_gives(seed: int, kind: str, tmp_path: Path):
    from featurestore import expect

    drawn = random.Random(seed)
    now = MONDAY + 40 * DAY + drawn.randrange(DAY)
    rows = []
    for _ in range(400):
        e = MONDAY + drawn.randrange(45 * DAY) if drawn.random() < 0.95 else None
        k = (
            None
            if e is None or drawn.random() < 0.05
            else e + drawn.choice([-5, 0, 7, 61_000_000, 3 * DAY, drawn.randrange(DAY)])
        )
        rows.append((e, k, drawn.randrange(10)))
    rows += [(now - 1, now - 1, 5), (now, now - 1, 5), (now - 1, now, 5)]
    options = {"event_timestamp": "e", "created_timestamp": "k"}
    to_known = {"created": lambda e, k: k}
    if kind == "created or event":
        options |= {"created_null": "event", "delay": "1h"}
        to_known[kind] = lambda e, k: k if k is not None else None if e is None else e + HOUR
    if kind == "delay":
        options = {"event_timestamp": "e", "delay": "2h"}
        to_known[kind] = lambda e, k: None if e is None else e + 2 * HOUR
    if kind == "quarantined":
        options["expectations"] = [expect.between("x", 0, 7, action="quarantine")]
    known = to_known.get(kind, to_known["created"])
    instants = pa.timestamp("us", "UTC")
    columns = [pa.array([row[i] for row in rows], pa.int64()) for i in range(3)]
    times = [columns[0].cast(instants), columns[1].cast(instants)]
    if kind == "naive in Paris":
        options["timezone"] = "Europe/Paris"
        times = [
            pa.array([None if v is None else v + HOUR for v in c.to_pylist()], pa.int64()).cast(pa.timestamp("us"))
            for c in columns[:2]
        ]
    source = ArrowSource(name="s", table=pa.table({"e": times[0], "k": times[1], "x": columns[2]}), **options)
    with Session(Settings()) as session:
        found, views = of_source(session, open_source(source, tmp_path), now, {"v": now - 3 * DAY, "w": None})
    there = [(e, known(e, k)) for e, k, x in rows if not (kind == "quarantined" and x > 7)]
    there = [(e, k) for e, k in there if k is not None and k < now]
    events = [e for e, _ in there if e is not None and e < now]
    newest = max(k for _, k in there)
    lately = sorted(((k, e) for e, k in there if k >= newest - HISTORY), key=lambda row: row[0])
    assert (found.rows, found.newest_known, found.newest_event) == (len(there), newest, max(events))
    assert sum(b.rows for b in found.bursts) == len(lately)
    assert [b.first for b in found.bursts] == [
        min(k for k, _ in lately if k // MINUTE == m) for m in sorted({k // MINUTE for k, _ in lately})
    ]
    first = max(events) - max(events) % DAY - HISTORY
    hours = {h: sum(e // HOUR == h // HOUR for e in events) for h in range(first, now, HOUR)}
    assert {hour.start: hour.facts for hour in found.hours} == {h: n for h, n in hours.items() if n}
    for hour in found.hours:
        known_by = sorted(k for e, k in there if e is not None and e < now and e // HOUR == hour.start // HOUR)
        assert hour.settled == known_by[math.ceil(0.75 * len(known_by)) - 1]
    assert [v.waiting for v in views] == [sum(k >= now - 3 * DAY for _, k in there), 0]
    if found.recorded:
        late = [k - e for k, e in lately if e is not None]
        recent = [k - e for k, e in lately if e is not None and k >= newest - RECENT]
        assert (sum(n for _, n in found.usual), sum(n for _, n in found.recent)) == (len(late) - len(recent), len(recent))
        for by, n in (*found.usual, *found.recent):
            assert n <= sum(by * 0.98 <= at <= by or (by == -1 and at < 0) for at in late)
    else:
        assert (found.usual, found.recent) == ((), ())


def store_of(source) -> FeatureStore:
    entity = Entity(name="c", join_keys=["c"])
    view = FeatureView(name="v", entities=[entity], source=source, features=[latest("x")])
    return FeatureStore(definitions=[FeatureService(name="s", features=[view])], clock=FixedClock(MONDAY + 30 * DAY))


@pytest.mark.parametrize("rows", [0, 1, 3_000])
def test_sources_without_rows_with_one_and_with_constant_times_are_left_alone(rows: int):
    instants = pa.timestamp("us", "UTC")
    table = pa.table(
        {
            "c": pa.array([1] * rows, pa.int64()),
            "x": pa.array([1.0] * rows),
            "t": pa.array([MONDAY] * rows, pa.int64()).cast(instants),
        }
    )
    source = ArrowSource(name="src", table=table, event_timestamp="t", delay="0s")
    assert {r.status for r in store_of(source).freshness()} == {"skipped"}


def test_static_absent_and_broken_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    static = ArrowSource(name="src", table=pa.table({"c": [1], "x": [1.0]}), static=True)
    assert {r.status for r in store_of(static).freshness()} == {"skipped"}
    schema = {"c": "int64", "x": "double", "t": "timestamp[us, UTC]"}
    files = ParquetSource(name="src", path="data/*.parquet", event_timestamp="t", delay="0s", schema=schema)
    assert {r.status for r in store_of(files).freshness()} == {"skipped"}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.parquet").write_bytes(b"no parquet")
    broken = [r for r in store_of(files).freshness() if r.status == "alert"]
    assert [(r.check, r.kind) for r in broken] == [("reading", "source")]
    assert "FS325" in broken[0].what


def test_of_versions_that_are_the_same_one_counts(tmp_path: Path):
    """A file that was sent again whole."""
    at = [MONDAY + n * MINUTE for n in range(60)]
    times = pa.array(at * 2, pa.int64()).cast(pa.timestamp("us", "UTC"))
    table = pa.table({"id": list(range(60)) * 2, "e": times, "k": times})
    source = ArrowSource(name="s", table=table, event_timestamp="e", created_timestamp="k", row_key=["id"])
    with Session(Settings()) as session:
        found, _ = of_source(session, open_source(source, tmp_path), MONDAY + DAY, {})
    assert ([hour.facts for hour in found.hours], sum(n for _, n in found.usual + found.recent)) == ([60], 60)


def test_files_that_were_there_when_a_view_was_made_are_missed(planted: Feed, tmp_path: Path):
    folder = tmp_path / "project"
    shutil.copytree(planted.folder, folder)
    store = FeatureStore(folder, clock=FixedClock(planted.day(20)))
    store.materialize(known_before=planted.day(20))
    shutil.rmtree(folder / "data" / "readings")
    found = {r.kind: r for r in store.freshness() if r.status == "alert"}
    assert "FS321" in found["source"].what


def test_the_command(cli: Cli, planted: Feed, tmp_path: Path):
    folder = tmp_path / "project"
    shutil.copytree(planted.folder, folder)
    at = ("--project", folder, "--as-of")
    noon = format_instant(planted.day(25.5))
    said = cli("freshness", *at, noon, "--json")
    assert (said.code, said.json["errors"][0]["code"], said.json["result"]["alerts"]) == (1, "FS167", 1)
    assert "never materialized" in said.json["errors"][0]["what"]
    cli("materialize", "--project", folder, "--known-before", noon, "--quiet")
    hour, day = (format_instant(planted.day(25.5) + later) for later in (HOUR, 5 * HOUR))
    said = cli("freshness", *at, hour, "--json")
    assert (said.code, said.json["ok"]) == (0, True)
    view = said.json["result"]["results"][0]
    assert (view["check"], view["kind"], view["value"], view["threshold"]) == ("freshness", "view", 3600.0, 7200.0)
    assert view["details"]["waiting"] > 20
    said = cli("freshness", "sensor_readings", *at, day)
    assert said.code == 1
    assert "rows came in since; featurestore materialize" in said.out
    assert cli("freshness", *at, format_instant(planted.day(20))).code == 0, "the store was materialized after that instant"
    assert cli("freshness", "sensors", *at, noon, "--json").json["errors"][0]["code"] == "FS101"
    assert cli("freshness", *at, "yesterday").code == 2
    (folder / "featurestore.toml").write_text('[monitor]\nfreshness = { reading = "2h" }\n')
    assert cli("freshness", *at, noon, "--json").json["errors"][0]["code"] == "FS107"
    (folder / "featurestore.toml").write_text('[monitor]\nfreshness = { readings = "2 months" }\n')
    assert cli("freshness", *at, noon, "--json").json["errors"][0]["code"] == "FS107"


POLICY = """
training_set = "train.parquet"

[[rule]]
kind = "time"
threshold = "10d"

[[rule]]
kind = "volume"
threshold = 0.6

[[rule]]
kind = "drift"
threshold = 0.2
window = "7d"
"""


def test_a_scheduler_asks_whether_to_retrain(cli: Cli, planted: Feed, tmp_path: Path):
    folder = tmp_path / "project"
    shutil.copytree(planted.folder, folder)
    cut = format_instant(planted.day(20))
    (folder / "retrain.toml").write_text(POLICY)
    asked = ("should-retrain", "--project", folder, "--policy", folder / "retrain.toml", "--json", "--as-of")
    assert cli(*asked, format_instant(planted.day(21))).json["errors"][0]["code"] == "FS361"
    build = ("build", "sensors_v1", "--project", folder, "--spine", folder / "data" / "spine.parquet", "--quiet")
    assert cli(*build, "--output", folder / "train.parquet", "--known-before", cut).code == 0

    said = cli(*asked, format_instant(planted.day(25)))
    assert said.code == 0
    result = said.json["result"]
    assert (result["retrain"], result["service"], result["training_set_knew_until"]) == (False, "sensors_v1", cut)
    rows = pa.concat_tables(pq.read_table(path) for path in (folder / "data" / "readings").glob("*/*.parquet"))
    known = [at.value for at in rows.column("loaded_at")]
    before, since = (sum(a <= k < b for k in known) for a, b in ((0, planted.day(20)), (planted.day(20), planted.day(25))))
    assert [(r["kind"], r["fired"], r["judged"], r["value"]) for r in result["rules"]] == [
        ("time", False, True, 5 * 86_400.0), ("volume", False, True, since / before), ("drift", False, False, None),
    ]  # fmt: skip
    assert result["warnings"] == ["rule drift cannot be judged: no result of drift with psi in the last 7d"]

    said = cli(*asked, format_instant(planted.day(31)))
    assert (said.code, said.json["errors"][0]["code"]) == (1, "FS169")
    assert [r["fired"] for r in said.json["result"]["rules"]] == [True, False, False]

    drift = Result(
        at=planted.day(24), check="drift", kind="service", subject="sensors_v1", feature="value", details={"psi": 0.3}
    )
    append(folder / ".featurestore" / "monitor", [drift])
    assert cli(*asked, format_instant(planted.day(25))).code == 1
    said = cli(*asked, format_instant(planted.day(25)), "--service", "others")
    assert (said.code, said.json["errors"][0]["code"]) == (2, "FS101")

    (folder / "retrain.toml").write_text('[[rule]]\nkind = "drift"\nthreshold = 0.2\nwindow = "1h"\n')
    said = cli(*asked[:-1], "--service", "others")
    assert (said.code, said.json["errors"][0]["code"]) == (2, "FS101"), "no rule looks at its sources"
    said = cli(*asked[:-1], "--current", folder / "train.parquet")
    assert (said.code, said.json["errors"][0]["code"]) == (2, "FS102")
    said = cli(*asked, format_instant(planted.day(25)))
    assert (said.code, said.json["errors"][0]["code"]) == (4, "FS492")
    assert cli(*asked[:-1], "--policy", folder / "none.toml").json["errors"][0]["code"] == "FS493"
    (folder / "retrain.toml").write_text('[[rule]]\nkind = "drift"\n')
    assert cli(*asked, cut).code == 2


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_without_a_cut_off_a_set_is_as_old_as_its_greatest_as_of(planted: Feed, tmp_path: Path, suffix: str):
    from featurestore.monitoring.retrain import made_at

    store = FeatureStore(planted.folder)
    naive = [datetime.fromtimestamp(planted.day(day) / 1e6, UTC).replace(tzinfo=None) for day in (3, 9, 6)]
    spine = pa.table({"sensor_id": [1, 2, 3], "as_of": pa.array(naive, pa.timestamp("us"))})
    path = tmp_path / f"train.{suffix}"
    store.build_training_set("sensors_v1", spine, timezone="America/New_York", output=path)
    assert made_at(path) == (planted.day(9) + 5 * HOUR, "sensors_v1")
    assert made_at(tmp_path / f"train.{suffix}.manifest.json") == made_at(path)
    path.unlink()
    with pytest.raises(FeatureStoreError) as error:
        made_at(tmp_path / f"train.{suffix}.manifest.json")
    assert (error.value.code, error.value.exit_code) == ("FS492", 4)
