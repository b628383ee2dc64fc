"""PostgreSQL as a source, from a real server: what is built of it, what it is known by, and what happens when it goes wrong."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureStoreError,
    FeatureView,
    ParquetSource,
    PostgresSource,
    agg,
    latest,
)
from featurestore.sources import SourceData, open_source, reading
from featurestore.sources.postgres.address import address
from featurestore.sources.postgres.snapshot import Snapshot
from tests.functional.conftest import Cli, contents
from tests.postgres_server import PostgresServer

DEFINITIONS = """\
from featurestore import Entity, FeatureService, FeatureView, PostgresSource, agg, latest

customer = Entity(name="customer", join_keys=["customer_id"])
payments = PostgresSource(name="payments", table="public.payments", url="{url}", event_timestamp="paid_at", delay="0s")
card_payments = FeatureView(
    name="card_payments",
    entities=[customer],
    source=payments,
    where="status = 'settled'",
    features=[latest("amount"), agg.sum("amount", window="7d"), agg.count(window="1d")],
)
fraud = FeatureService(name="fraud", features=[card_payments])
"""
TABLE = """
DROP TABLE IF EXISTS kept CASCADE;
DROP TABLE IF EXISTS payments CASCADE;
CREATE TABLE payments (id int8, customer_id int8, paid_at timestamptz, amount numeric(12, 2), status text, tried interval);
INSERT INTO payments SELECT i, i % 3, timestamptz '2026-01-01Z' + i * interval '1 hour', i + 0.25, 'settled', '1 day'
FROM generate_series(1, 200) i;
"""
BUILD = ("build", "fraud", "--spine", "spine.parquet", "--output", "train.parquet")
MATERIALIZE = ("materialize", "--known-before", "2026-01-05T00:00:00Z")
DAY = 86_400_000_000
FIRST = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


@pytest.fixture
def server(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> PostgresServer:
    """With the table as it is above, and the reader's password where libpq looks for it."""
    monkeypatch.setenv("PGPASSWORD", postgres_server.PASSWORD)
    postgres_server.sql(TABLE)
    return postgres_server


@pytest.fixture
def shop(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project over the table, and the shell's folder."""
    folder = tmp_path / "shop"
    (folder / "registry").mkdir(parents=True)
    (folder / "featurestore.toml").write_text('[project]\nname = "shop"\n')
    define(folder, server.url)
    times = pa.array([FIRST + DAY, FIRST + 3 * DAY, FIRST + 9 * DAY, FIRST + 9 * DAY], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"customer_id": [0, 1, 2, 9], "as_of": times}), folder / "spine.parquet")
    monkeypatch.chdir(folder)
    return folder


def define(folder: Path, url: str, **changed: str) -> None:
    text = DEFINITIONS.format(url=url)
    for old, new in changed.items():
        text = text.replace(old, new)
    (folder / "registry" / "views.py").write_text(text)


def built(folder: Path, source: Any) -> pa.Table:
    """The training set of the project's spine over some other source of the same facts."""
    customer = Entity(name="customer", join_keys=["customer_id"])
    features = [latest("amount"), agg.sum("amount", window="7d"), agg.count(window="1d")]
    view = FeatureView(name="v", entities=[customer], source=source, where="status = 'settled'", features=features)
    service = FeatureService(name="s", features=[view])
    return FeatureStore(definitions=[service]).build_training_set(service, folder / "spine.parquet")


def read(source: PostgresSource, *columns: str) -> pa.Table:
    with reading():
        (part,) = open_source(source, Path()).parts
        return pa.Table.from_batches(part.read(columns))


# What is built.


def test_a_table_builds_what_its_rows_build_as_parquet(shop: Path, cli: Cli, server: PostgresServer) -> None:
    assert cli(*BUILD).code == 0
    source = PostgresSource(name="payments", table="payments", url=server.url, event_timestamp="paid_at", delay="0s")
    pq.write_table(read(source, "customer_id", "paid_at", "amount", "status"), shop / "payments.parquet")
    files = ParquetSource(name="payments", path="payments.parquet", event_timestamp="paid_at", delay="0s")
    wanted = built(shop, files)
    assert pq.read_table(shop / "train.parquet").equals(wanted)
    assert wanted["count_1d"].to_pylist() == [7, 8, 3, 0]


@pytest.mark.parametrize(
    "made, named",
    [
        ("CREATE VIEW seen AS SELECT * FROM payments", {"table": "seen"}),
        ("CREATE MATERIALIZED VIEW seen AS SELECT * FROM payments", {"table": "public.seen"}),
        ("CREATE TABLE seen (LIKE payments) PARTITION BY RANGE (paid_at); CREATE TABLE seen_1 PARTITION OF seen DEFAULT;"
         " INSERT INTO seen SELECT * FROM payments", {"table": "seen"}),
        ('CREATE SCHEMA "Odd.one"; CREATE TABLE "Odd.one"."Pay ""ments" AS SELECT * FROM payments;'
         ' GRANT USAGE ON SCHEMA "Odd.one" TO reader', {"table": ("Odd.one", "Seen.It")}),
        ("SELECT", {"query": "SELECT * FROM payments WHERE id > 0 -- all"}),
    ],
)  # fmt: skip
def test_whatever_gives_rows_is_a_source(made: str, named: dict[str, Any], shop: Path, server: PostgresServer) -> None:
    server.sql('DROP SCHEMA IF EXISTS "Odd.one" CASCADE; DROP TABLE IF EXISTS seen CASCADE')
    server.sql(made.replace('Pay ""ments', "Seen.It"))
    options: dict[str, Any] = {"name": "payments", "url": server.url, "event_timestamp": "paid_at", "delay": "0s"}
    try:
        found = built(shop, PostgresSource(**named, **options))
    finally:
        kind = "MATERIALIZED VIEW" if "MATERIALIZED" in made else "VIEW" if "VIEW" in made else "TABLE"
        server.sql(f"DROP {kind} IF EXISTS seen")
    assert found.equals(built(shop, PostgresSource(table="payments", **options)))


def test_only_the_columns_and_times_asked_for_leave_the_server(shop: Path, cli: Cli, server: PostgresServer) -> None:
    server.sql("ALTER SYSTEM SET log_statement = 'all'")
    server.sql("SELECT pg_reload_conf()")
    try:
        before = len(server.log())
        assert cli(*BUILD).code == 0
        told = server.log()[before:]
    finally:
        server.sql("ALTER SYSTEM RESET log_statement")
        server.sql("SELECT pg_reload_conf()")
    read = [line for line in told.splitlines() if "COPY (SELECT" in line and "AS facts WHERE" in line]
    (once,) = read  # for the latest values and the windows
    assert not any(name in once for name in ("tried", '"id"'))
    assert "\"paid_at\" <= timestamptz '2026-01-10T00:00:00.000000Z'" in once
    whole = [line for line in told.splitlines() if 'FROM "public"."payments" AS facts' in line and "WHERE" not in line]
    assert all("count(*)" in line or "LIMIT 0" in line for line in whole), "rows left out are counted where they lie"


def test_compile_and_check_read_no_rows_and_compile_needs_no_database_once_it_is_committed(
    shop: Path, cli: Cli, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server.sql("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'payments'")
    assert cli("compile").code == 0
    assert cli("check").code == 0
    time.sleep(1.1)  # statistics are told at most once a second
    assert server.sql("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'payments'") == before
    define(shop, server.url.replace(str(server.port), "1"))
    assert cli("compile", "--check").code == 0
    monkeypatch.delenv("PGPASSWORD")
    define(shop, "$PAYMENTS_URL")
    assert cli("compile", "--check").code == 0


# One moment.


class WithWriter(FeatureStore):
    """Between the opening of its sources and whatever reads them a writer comes."""

    def source_of(self, source: Any) -> SourceData:
        data = super().source_of(source)
        self.write()
        return data

    def write(self) -> None: ...


CHANGES = {
    "rows are added": "INSERT INTO payments SELECT id, customer_id, paid_at, 1000, status FROM payments",
    "rows are updated": "UPDATE payments SET amount = amount + 1, status = 'void' WHERE id % 2 = 0",
    "rows are deleted": "DELETE FROM payments",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_changes_during_the_build_is_read_as_it_was(
    change: str, shop: Path, cli: Cli, server: PostgresServer
) -> None:
    assert cli(*BUILD).code == 0
    store = WithWriter(shop)
    store.write = lambda: server.sql(CHANGES[change])  # type: ignore[method-assign]
    store.build_training_set("fraud", shop / "spine.parquet", output=shop / "again.parquet")
    assert (shop / "again.parquet").read_bytes() == (shop / "train.parquet").read_bytes()
    assert cli("build", "fraud", "--spine", "spine.parquet", "--output", "after.parquet").code == 0
    assert (shop / "after.parquet").read_bytes() != (shop / "train.parquet").read_bytes()


def test_two_sources_of_one_database_are_of_one_moment(shop: Path, server: PostgresServer) -> None:
    server.sql("DROP TABLE IF EXISTS refunds; CREATE TABLE refunds AS SELECT * FROM payments")
    options: dict[str, Any] = {"url": server.url, "event_timestamp": "paid_at", "delay": "0s"}
    entity = [Entity(name="customer", join_keys=["customer_id"])]
    views = [
        FeatureView(
            name=name,
            entities=entity,
            source=PostgresSource(name=name, table=name, **options),
            features=[agg.count(window=None, name=f"{name}_count")],
        )
        for name in ("payments", "refunds")
    ]
    service = FeatureService(name="both", features=views)
    store = WithWriter(definitions=[service])
    store.write = lambda: server.sql("DELETE FROM payments; DELETE FROM refunds")  # type: ignore[method-assign]
    _ = store.bound
    found = store.build_training_set(service, shop / "spine.parquet")
    server.sql("DROP TABLE refunds")
    assert found["payments_count"].to_pylist() == found["refunds_count"].to_pylist() != [0, 0, 0, 0]


def sessions(server: PostgresServer) -> int:
    end = time.monotonic() + 5
    while (
        found := int(server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'"))
    ) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_nothing_stays_open_behind_a_build_or_one_that_fails(shop: Path, cli: Cli, server: PostgresServer) -> None:
    assert cli(*BUILD).code == 0
    assert sessions(server) == 0
    server.sql("UPDATE payments SET amount = 'NaN'")
    assert cli(*BUILD[:-1], "other.parquet").code == 4
    assert sessions(server) == 0


def source_over(server: PostgresServer, **options: Any) -> PostgresSource:
    return PostgresSource(
        **{"name": "payments", "table": "payments", "url": server.url, "event_timestamp": "paid_at", **options}
    )


def test_two_readings_at_once_are_of_one_moment(server: PostgresServer) -> None:
    with reading():
        (part,) = open_source(source_over(server), Path()).parts
        first = part.read(["id"], 10)
        rows = [next(first)]
        server.sql("DELETE FROM payments")
        assert sum(batch.num_rows for batch in part.read(["id"])) == part.rows == 200
        assert sum(batch.num_rows for batch in [*rows, *first]) == 200
        next(part.read(["id"]))  # nobody reads on
        assert sum(batch.num_rows for batch in part.read(["id"])) == 200
    assert sessions(server) == 0


def test_a_table_emptied_between_snapshot_and_lock_is_opened_again(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a snapshot that is older TRUNCATE has emptied the table, though its rows were there."""
    locked, seen = Snapshot.schema, []

    def schema(self: Snapshot, relation: str, what: str) -> pa.Schema:
        seen.append(self)
        if len(seen) == 1:
            server.sql("TRUNCATE payments; INSERT INTO payments (id) VALUES (1)")
        return locked(self, relation, what)

    monkeypatch.setattr(Snapshot, "schema", schema)
    with reading():
        assert (open_source(source_over(server), Path()).rows, len(seen)) == (1, 2)


def test_a_partition_attached_while_the_table_is_read_is_noticed(server: PostgresServer) -> None:
    server.sql(
        "DROP TABLE IF EXISTS parted; CREATE TABLE parted (id int8, paid_at timestamptz) PARTITION BY RANGE (paid_at);"
        "CREATE TABLE old (id int8, paid_at timestamptz); INSERT INTO old VALUES (1, '2020-01-01Z')"
    )
    with reading():
        (part,) = open_source(source_over(server, table="parted"), Path()).parts
        server.sql("ALTER TABLE parted ATTACH PARTITION old FOR VALUES FROM ('2020-01-01Z') TO ('2021-01-01Z')")
        with pytest.raises(FeatureStoreError) as caught:
            list(part.read(["id"]))
    server.sql("DROP TABLE parted")
    assert (caught.value.code, caught.value.exit_code) == ("FS379", 4)
    assert "old was rewritten, or attached" in caught.value.what


# What it is known by.


def test_a_set_is_built_again_while_the_rows_are_the_same(shop: Path, cli: Cli, server: PostgresServer) -> None:
    assert cli(*BUILD).code == 0
    (state,) = json.loads((shop / "train.parquet.manifest.json").read_text())["sources"]["payments"]
    assert state == {"postgres": "public.payments", "database": "shop", "rows": 200, "digest": state["digest"]}
    server.sql("UPDATE payments SET amount = amount")  # other versions of the same rows, in another place
    again = cli("rebuild", "train.parquet.manifest.json", "--verify", "--json")
    assert (again.code, again.json["ok"]) == (0, True), again.out
    server.sql("UPDATE payments SET tried = '2 days' WHERE id = 7")
    other = cli("rebuild", "train.parquet.manifest.json", "--verify", "--json")
    assert other.code == 1
    assert other.json["errors"][0]["code"] == "FS133"
    assert "digest" in other.json["errors"][0]["what"]


def test_a_store_is_verified_while_the_rows_are_the_same_and_followed_by_full_runs(
    shop: Path, cli: Cli, server: PostgresServer
) -> None:
    (first,) = cli(*MATERIALIZE, "--json").json["result"]["views"]
    assert first["mode"] == "full"
    assert cli("verify", "--json").code == 0
    (second,) = cli("materialize", "--known-before", "2026-01-06T00:00:00Z", "--json").json["result"]["views"]
    assert (second["mode"], second["reason"]) == ("incremental", "")
    assert cli("verify", "--json").code == 0
    server.sql("UPDATE payments SET amount = 0 WHERE id = 1")
    unsure = cli("verify", "--json")
    told = unsure.json["result"]["services"]["fraud"]["views"]["card_payments"]
    assert (told["equal"], told["different"]) == (0, 0)
    assert told["unverifiable"] > 0
    assert told["reason"].startswith("payments: ")
    (third,) = cli("materialize", "--known-before", "2026-01-07T00:00:00Z", "--json").json["result"]["views"]
    assert third["mode"] == "full"
    assert "public.payments" in third["reason"]
    assert cli("verify", "--json").code == 0


# What goes wrong.

NOBODY = "postgresql://nobody@127.0.0.1:{port}/shop"
WRONG: dict[str, tuple[dict[str, str], str, tuple[str, int, str]]] = {
    "no server": ({"url": "postgresql://reader@127.0.0.1:1/shop"}, "", ("FS475", 5, "cannot be reached")),
    "no such host": ({"url": "postgresql://reader@nowhere.invalid/shop"}, "", ("FS475", 5, "nowhere.invalid")),
    "no such database": ({"url": "postgresql://reader@127.0.0.1:{port}/nosuch"}, "", ("FS475", 5, '"nosuch" does not exist')),
    "a wrong password": ({"PGPASSWORD": "wr0ng-s3cret"}, "", ("FS476", 5, 'authentication failed for user "reader"')),
    "no password": ({"PGPASSWORD": ""}, "", ("FS476", 5, "no password supplied")),
    "no such user": ({"url": NOBODY}, "", ("FS476", 5, "no pg_hba.conf entry")),
    "a variable that is not set": ({"url": "$PAYMENTS_URL"}, "", ("FS476", 5, "PAYMENTS_URL is not set")),
    "a variable that holds no url": ({"url": "$PAYMENTS_URL", "PAYMENTS_URL": "postgresql://u:pl4nted%zz@h/d"}, "",
                                     ("FS476", 5, "cannot be read")),
    "no such table": ({"table": "nosuch"}, "", ("FS376", 4, 'relation "public.nosuch" does not exist')),
    "no right to the table": ({}, "REVOKE ALL ON payments FROM reader", ("FS376", 4, "permission denied for table payments")),
    "no such column": ({}, "ALTER TABLE payments DROP amount", ("FS203", 3, "no column 'amount'")),
    "a type without values here": ({}, "ALTER TABLE payments ALTER amount TYPE interval USING '1 day'",
                                   ("FS377", 4, "column 'amount' of public.payments is interval")),
    "numbers of any size": ({}, "ALTER TABLE payments ALTER amount TYPE numeric", ("FS377", 4, "numeric without precision")),
    "a decimal that is none": ({}, "UPDATE payments SET amount = 'NaN' WHERE id = 9",
                               ("FS378", 4, "public.payments holds a value that cannot be read: NaN in column amount")),
    "a query that is none": ({"query": "SELECT 1 +"}, "", ("FS376", 4, "syntax error")),
}  # fmt: skip


@pytest.mark.parametrize("story", WRONG)
def test_wrong_input_ends_in_a_clear_error_and_nothing_written(
    story: str, shop: Path, cli: Cli, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, statement, (code, exit_code, said) = WRONG[story]
    for name in ("PGPASSWORD", "PAYMENTS_URL"):
        if name in settings:
            monkeypatch.setenv(name, settings[name])
    changed = {'"public.payments"': '"public.nosuch"'} if "table" in settings else {}
    changed |= {'table="public.payments"': f'query="{settings["query"]}"'} if "query" in settings else {}
    define(shop, settings.get("url", server.url).format(port=server.port), **changed)
    if statement:
        server.sql(statement)
    before = contents(shop)
    for command in (BUILD, MATERIALIZE):
        found = cli(*command, "--json")
        (error,) = found.json["errors"]
        assert (error["code"], found.code) == (code, exit_code), error
        assert said in error["what"], error
        assert "payments" in error["where"], error
        assert error["try"] or error["known"], error
        assert contents(shop).items() >= before.items()
        assert not (shop / "train.parquet").exists()
        assert "s3cret" not in found.out + found.err
        assert "pl4nted" not in found.out + found.err


def test_a_missing_driver_is_named(shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    (error,) = cli(*BUILD, "--json").json["errors"]
    assert error["code"] == "FS480"
    assert "featurestore[postgres]" in error["try"]


@pytest.fixture
def frail(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    """A server of this test's own, to be stopped."""
    with PostgresServer() as server:
        monkeypatch.setenv("PGPASSWORD", server.PASSWORD)
        server.sql(TABLE)
        yield server


def slowly(server: PostgresServer) -> None:
    """The same rows, a tenth of a second apart."""
    server.sql("ALTER TABLE payments RENAME TO kept")
    server.sql("CREATE VIEW payments AS SELECT k.* FROM kept k, LATERAL (SELECT pg_sleep(0.1 + k.id * 0)) slowly")


def test_a_server_that_stops_while_it_is_read_leaves_nothing_half_written(shop: Path, cli: Cli, frail: PostgresServer) -> None:
    slowly(frail)
    frail.sql("CHECKPOINT")  # what is not written yet dies with it
    define(shop, frail.url)
    before = contents(shop)

    def stop() -> None:
        reading = (
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND query LIKE 'COPY%' AND wait_event = 'PgSleep'"
        )
        while frail.sql(reading) == "0":
            time.sleep(0.05)
        frail.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    found = cli(*BUILD, "--json")
    stopping.join()
    (error,) = found.json["errors"]
    assert (error["code"], found.code) == ("FS477", 5), error
    assert contents(shop) == before
    frail.start()
    frail.sql("DROP VIEW payments; ALTER TABLE kept RENAME TO payments")
    assert cli(*BUILD).code == 0


def test_a_statement_that_takes_longer_than_the_server_allows_says_so(shop: Path, cli: Cli, server: PostgresServer) -> None:
    slowly(server)
    server.sql("ALTER ROLE reader SET statement_timeout = '2s'")
    try:
        (error,) = cli(*BUILD, "--json").json["errors"]
    finally:
        server.sql("ALTER ROLE reader RESET statement_timeout")
    assert error["code"] == "FS477"
    assert "statement timeout" in error["what"]


# Secrets.


def test_a_password_is_in_nothing_that_is_written_or_said(
    shop: Path, cli: Cli, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PAYMENTS_URL", server.url.replace("reader@", f"reader:{server.PASSWORD}@"))
    define(shop, "$PAYMENTS_URL")
    said = ""
    for command in (("compile",), ("check", "--data"), ("explain", "fraud"), BUILD, MATERIALIZE, ("verify",), ("status",),
                    ("rebuild", "train.parquet.manifest.json", "--verify")):  # fmt: skip
        done = cli(*command, "-v")
        said += done.out + done.err
        assert done.code == 0, done.err
    server.sql("DROP TABLE payments")
    said += cli(*BUILD[:-1], "other.parquet", "-v").err
    source = FeatureStore(shop).registry.sources["payments"]
    said += repr(source) + source._repr_html_() + repr(address("$PAYMENTS_URL"))
    assert server.PASSWORD not in said
    holding = [p for p in shop.rglob("*") if p.is_file() and server.PASSWORD.encode() in p.read_bytes()]
    assert holding == []
