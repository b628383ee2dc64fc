"""What the rows of a source must be like: what stops, what is set aside, what is only said, for every command alike."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.errors import PushError
from featurestore.intervals import FixedClock, parse_duration
from featurestore.sources import quarantine
from tests.functional.bank import Bank
from tests.functional.conftest import Cli, Outcome
from tests.functional.serving import serving

UTC = pa.timestamp("us", "UTC")
SECOND, DAY = 10**6, 86_400 * 10**6
T0 = 1_700_000_000 * SECOND
DEFINITIONS = """
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, expect, latest

customer = Entity(name="customer", join_keys=["customer_id"])
payments = ParquetSource(
    name="payments", path="data/*.parquet", event_timestamp="paid_at", {options},
    expectations=[{expectations}],
)
spent = FeatureView(name="spent", entities=[customer], source=payments, features=[
    latest("amount"), agg.sum("amount", window=None), agg.count(window=None),
])
bank = FeatureService(name="bank", features=[spent])
"""
VERSIONS = 'created_timestamp="loaded_at", row_key=["payment_id"]'
POSITIVE = 'expect.between("amount", 0, 100_000, action="{}")'
QUARANTINED = POSITIVE.format("quarantine")
REASON = "amount between 0 and 100000"


class Expecting(Bank):
    """What is expected of its payments is each test's. Two customers ask."""

    def __init__(self, folder: Path, cli: Cli) -> None:
        super().__init__(folder, cli)
        self.spine([1, 2])

    def define(self, expectations: str = "", options: str = 'delay="0s"') -> None:
        self.defined_as(DEFINITIONS.format(options=options, expectations=expectations))

    def write(self, amounts: list[Any], file: str = "a", **columns: Any) -> None:
        n = len(amounts)
        given = {"customer_id": [1] * n, "paid_at": [T0 + i * DAY for i in range(n)], "amount": amounts, **columns}
        arrays = {
            c: v if isinstance(v, pa.Array) else pa.array(v, UTC if c.endswith("_at") else None) for c, v in given.items()
        }
        pq.write_table(pa.table(arrays), self.folder / "data" / f"{file}.parquet", row_group_size=2)

    def spine(self, customers: list[int]) -> None:
        table = {"customer_id": customers, "as_of": pa.array([3 * T0] * len(customers), UTC)}
        pq.write_table(pa.table(table), self.folder / "spine.parquet")

    def run(self, *command: Any, code: int = 0) -> Outcome:
        said = self._cli(*command, "--project", self.folder)
        assert said.code == code, said.out + said.err
        return said

    def build(self, code: int = 0) -> Outcome:
        paths = ("--spine", self.folder / "spine.parquet", "--output", self.output)
        return self.run("build", "bank", *paths, "--json", code=code)

    @property
    def output(self) -> Path:
        return self.folder / "train.parquet"

    @property
    def aside(self) -> Path:
        return self.folder / ".featurestore" / "quarantine" / "payments.parquet"

    def answers(self) -> list[list[Any]]:
        """What a build says of each customer."""
        self.build()
        names = ("amount", "amount_sum_lifetime", "count_lifetime")
        return [[row[n] for n in names] for row in pq.read_table(self.output).to_pylist()]


@pytest.fixture
def bank(tmp_path: Path, cli: Cli) -> Expecting:
    return Expecting(tmp_path, cli)


# fail


@pytest.mark.parametrize("command", ["build", "materialize", "check"])
def test_a_row_that_fails_stops_everything_and_is_named(bank: Expecting, command: str) -> None:
    bank.define(POSITIVE.format("fail"))
    bank.write([1.0, -1.0, None], "a")
    bank.write([-2.0, 3.0, -3.0, -4.0], "b")
    asked = {"build": lambda: bank.build(4), "materialize": lambda: bank.run("materialize", "--json", code=4),
             "check": lambda: bank.run("check", "--data", "--json", code=4)}  # fmt: skip
    [error] = asked[command]().json["errors"]
    assert (error["code"], error["what"]) == ("FS328", f"4 of 7 rows of source 'payments' break: {REASON}")
    assert error["where"] == "data/a.parquet row 1: -1.0, data/b.parquet row 0: -2.0, data/b.parquet row 2: -3.0 and 1 more"
    assert not bank.output.exists()
    assert not (bank.folder / ".featurestore" / "online").exists() or command == "materialize"
    assert bank.run("status", "--json").json["result"]["generations"] == [] if command == "materialize" else True


def test_check_tells_every_expectation_that_fails_at_once(bank: Expecting) -> None:
    bank.define(f'{POSITIVE.format("fail")}, expect.matches("card", "c[0-9]+"), expect.not_null("amount", action="warn")')
    bank.write([-1.0, None, 2.0], card=["c1", "c\u0661", "x"])
    said = bank.run("check", "--data", "--json", code=4).json
    assert [e["what"].split("break: ")[1] for e in said["errors"]] == [REASON, "card matches c[0-9]+"]
    found = said["result"]["data"]["payments"]["expectations"]
    assert [(e["expectation"], e["action"], e["rows"]) for e in found] == [
        (REASON, "fail", 1), ("card matches c[0-9]+", "fail", 2), ("amount not null", "warn", 1),
    ]  # fmt: skip
    assert found[1]["examples"] == [
        {"file": "data/a.parquet", "row": 1, "value": "c\u0661"}, {"file": "data/a.parquet", "row": 2, "value": "x"},
    ]  # fmt: skip
    assert (
        "fail: card matches c[0-9]+: 2 rows are not\n    data/a.parquet row 1: c\u0661\n"
        in bank.run("check", "--data", code=4).out
    )


# quarantine


def test_a_row_in_quarantine_is_left_out_counted_and_kept(bank: Expecting) -> None:
    bank.define(QUARANTINED)
    bank.write([10.0, 20.0, 30.0, -5.0, 40.0], note=["a", "b", "c", "d", "e"])
    said = bank.build().json["result"]
    assert said["left_out"] == {"spent": {f"quarantined: {REASON}": 1}}
    kept = "kept in .featurestore/quarantine/payments.parquet"
    assert f"source payments: 1 of 5 rows are in quarantine, {kept}" in said["warnings"]
    assert bank.answers()[0] == [40.0, 100.0, 4]
    assert pq.read_table(bank.aside).to_pylist() == [
        {"__file": "data/a.parquet", "__row": 3, "__reason": REASON, "customer_id": 1, "amount": -5.0, "note": "d",
         "paid_at": pa.scalar(T0 + 3 * DAY, UTC).as_py()},
    ]  # fmt: skip
    text = bank.run("build", "bank", "--spine", bank.folder / "spine.parquet", "--output", bank.output)
    assert f"source rows left out of spent: quarantined: {REASON} 1" in text.out
    assert "warning: source payments: 1 of 5 rows are in quarantine" in text.err


def test_every_command_that_looks_at_the_rows_keeps_those_in_quarantine(bank: Expecting) -> None:
    bank.define(QUARANTINED)
    bank.write([10.0, 20.0, -5.0])
    for command in (("check", "--data"), ("materialize",)):
        bank.aside.unlink(missing_ok=True)
        assert "rows are in quarantine" in bank.run(*command).err
        assert pq.read_table(bank.aside)["__row"].to_pylist() == [2]
    assert "in quarantine: 1 rows, in .featurestore/quarantine/payments.parquet" in bank.run("check", "--data").out


def _written(path: Path) -> tuple[int, int]:
    """Which file this is, and when it was written: a new file may be given the number of one just deleted."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def test_the_file_tells_the_last_look_and_is_written_only_if_something_changed(bank: Expecting) -> None:
    bank.define(QUARANTINED)
    bank.write([10.0, -1.0, 30.0])
    bank.build()
    before = _written(bank.aside)
    bank.build()
    assert _written(bank.aside) == before
    bank.write([10.0, 20.0, 30.0, -2.0], "b", file_row_number=[9] * 4)
    bank.build()
    assert pq.read_table(bank.aside).select(["__file", "__row"]).to_pylist() == [
        {"__file": "data/a.parquet", "__row": 1}, {"__file": "data/b.parquet", "__row": 3},
    ]  # fmt: skip
    bank.define(f'{QUARANTINED}, expect.not_null("customer_id", action="quarantine")')
    bank.build()
    assert _written(bank.aside) != before
    bank.write([10.0], "a")
    bank.write([10.0], "b")
    bank.build()
    assert not bank.aside.exists()


@pytest.mark.parametrize("command", ["build", "check"])
def test_without_expectations_nothing_is_kept_aside(bank: Expecting, command: str) -> None:
    bank.define(QUARANTINED)
    bank.write([10.0, -1.0, 30.0])
    bank.build()
    assert bank.aside.exists()
    bank.define()
    bank.build() if command == "build" else bank.run("check", "--data")
    assert not bank.aside.exists()


def test_check_tells_what_does_not_go_with_the_columns_without_looking_at_rows(bank: Expecting) -> None:
    bank.define('expect.between("amuont", 0, 1), expect.matches("amount", "a")')
    bank.write([1.0])
    [error] = bank.run("check", "--json", code=3).json["errors"]
    assert (error["code"], error["try"]) == ("FS203", "amount")
    assert error["where"] == "registry/bank.py:7, source 'payments'"


def test_a_row_that_breaks_two_expectations_is_kept_with_both_and_counted_once(bank: Expecting) -> None:
    bank.define(f'{QUARANTINED}, expect.one_of("status", ["open"], action="quarantine")')
    bank.write([-1.0, -1.0, 2.0, 3.0, 4.0, 5.0, 6.0], status=["open", "no", "no", *["open"] * 4])
    left_out = bank.build().json["result"]["left_out"]["spent"]
    assert left_out == {f"quarantined: {REASON}": 2, "quarantined: status one of open": 1}
    assert pq.read_table(bank.aside)["__reason"].to_pylist() == [
        REASON, f"{REASON}; status one of open", "status one of open",
    ]  # fmt: skip


def test_a_row_in_quarantine_breaks_nothing_else(bank: Expecting) -> None:
    bank.define(f'expect.one_of("status", ["open"], action="quarantine"), {POSITIVE.format("fail")}')
    bank.write([-1.0, 2.0, 3.0], status=["no", "open", "open"])
    assert bank.answers()[0] == [3.0, 5.0, 2]


def test_more_than_half_in_quarantine_stops_a_build_whatever_the_reasons_are(bank: Expecting) -> None:
    both = f'{QUARANTINED}, expect.one_of("status", ["open"], action="quarantine")'
    bank.define(both)
    bank.write([-1.0, 2.0, 3.0], status=["open", "no", "open"])
    [error] = bank.build(4).json["errors"]
    assert (error["code"], error["what"]) == (
        "FS327",
        "2 of 3 rows of source 'payments' are left out: quarantined (view 'spent')",
    )
    bank.define(both, 'delay="0s", allow_left_out=True')
    assert bank.answers()[0] == [3.0, 3.0, 1]


def test_files_that_are_copied_to_be_read_and_files_of_several_schemas_keep_their_numbers_and_values(bank: Expecting) -> None:
    """Times as text, nanoseconds, a dictionary, a file with a column more, and one with a column of another type."""
    bank.define(QUARANTINED, 'delay="0s", time_format="iso8601"')
    text = ["2024-01-01T00:00:00Z"] * 3
    bank.write(
        [-1.0, 1.0, 2.0], "a", paid_at=pa.array(text), card=pa.array(["x", "y", "x"]).dictionary_encode(), extra=[1, 2, 3]
    )
    bank.write(
        [1.0, 2.0, -3.0], "b", paid_at=pa.array(text), card=["p", "q", "r"], extra=["s", "t", "u"], file_row_number=[7, 8, 9]
    )
    bank.write([1.0, 2.0, 3.0], "c", paid_at=pa.array(text), card=["p", "q", "r"])
    bank.build()
    kept = pq.read_table(bank.aside).to_pylist()
    assert [(row["__file"], row["__row"], row["amount"], row["paid_at"], row["card"]) for row in kept] == [
        ("data/a.parquet", 0, -1.0, text[0], "x"), ("data/b.parquet", 2, -3.0, text[0], "r"),
    ]  # fmt: skip
    assert [(row["extra"], row["file_row_number"]) for row in kept] == [("1", None), ("u", 9)]


def test_a_file_that_is_no_quarantine_file_is_written_anew(bank: Expecting) -> None:
    bank.define(QUARANTINED)
    bank.write([10.0, -1.0, 30.0])
    bank.aside.parent.mkdir(parents=True)
    bank.aside.write_text("no Parquet")
    bank.build()
    assert pq.read_table(bank.aside).num_rows == 1


def test_no_more_rows_are_kept_than_a_file_is_to_hold(bank: Expecting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MOST", 2)
    bank.define(QUARANTINED, 'delay="0s", allow_left_out=True')
    bank.write([-1.0] * 5)
    assert bank.build().json["result"]["left_out"]["spent"] == {f"quarantined: {REASON}": 5}
    assert pq.read_table(bank.aside).num_rows == 2


def test_a_row_in_quarantine_changed_in_other_columns_moves_nothing(bank: Expecting) -> None:
    """It may be newer, of another key, a version of any fact, the newest known: as long as it is set aside nobody sees it."""
    bank.define(QUARANTINED, VERSIONS)
    ids, loaded = ["p", "q", "r"], [T0, T0, T0]
    bank.write([10.0, 20.0, 30.0], "a", payment_id=ids, loaded_at=loaded)
    before = bank.answers()
    for other in (
        {"payment_id": ["p"]},
        {"payment_id": ["q"], "customer_id": [2]},
        {"loaded_at": [T0 + 9 * DAY], "paid_at": [None]},
    ):
        columns = {"payment_id": ["z"], "loaded_at": [T0 + DAY], "customer_id": [1], "paid_at": [T0 + 99 * DAY], **other}
        bank.write([-1.0], "b", **columns)
        assert bank.answers() == before


def test_without_a_project_rows_are_set_aside_and_kept_nowhere(bank: Expecting, tmp_path: Path) -> None:
    from featurestore import ArrowSource, Entity, FeatureService, FeatureView, expect, latest

    rows = pa.table({"id": [1, 1, 1], "at": pa.array([1, 2, 3], UTC), "x": [1, 2, -3]})
    source = ArrowSource(name="s", table=rows, event_timestamp="at", delay="0s",
                         expectations=[expect.between("x", 0, action="quarantine")])  # fmt: skip
    view = FeatureView(name="v", entities=[Entity(name="e", join_keys=["id"])], source=source, features=[latest("x")])
    store = FeatureStore(definitions=[FeatureService(name="f", features=[view])])
    spine = pa.table({"id": [1], "as_of": pa.array([10], UTC)})
    assert store.build_training_set("f", spine)["x"].to_pylist() == [2]


# warn and fresh


def test_a_row_that_warns_is_counted_and_nothing_else(bank: Expecting) -> None:
    bank.define()
    bank.write([10.0, -20.0, 30.0])
    before = bank.answers()
    bank.define(POSITIVE.format("warn"))
    assert bank.answers() == before
    said = bank.build().json["result"]
    assert f"source payments: 1 of 3 rows break: {REASON}" in said["warnings"]
    assert said["left_out"] == {"spent": {}}
    assert f"1 of 3 rows break: {REASON}" in bank.run("materialize").err


@pytest.mark.parametrize(("after", "stale"), [(DAY, False), (DAY + 1, True), (9 * DAY, True)])
def test_a_source_is_fresh_if_its_newest_row_became_visible_lately(bank: Expecting, after: int, stale: bool) -> None:
    bank.define('expect.fresh("1d", action="warn")', 'delay="1h"')
    bank.write([1.0])
    newest = T0 + 3600 * SECOND
    store = FeatureStore(bank.folder, clock=FixedClock(newest + after))
    said = store.judge().check([store.source("payments")])
    told = "source 'payments' is not fresh: no row became visible within 1d, the newest is of 2023-11-14T23:13:20.000000Z"
    assert said == ([told] if stale else [])


def test_a_source_that_is_not_fresh_stops_a_build_and_a_row_of_tomorrow_does_not_help(
    bank: Expecting,
) -> None:
    bank.define('expect.fresh("1d")')
    bank.write([1.0, 2.0], paid_at=[T0, 4_000_000_000 * SECOND])
    [error] = bank.build(4).json["errors"]
    assert error["code"] == "FS328"
    assert "not fresh: no row became visible within 1d, the newest is of 2023-11-14T22:13:20.000000Z" in error["what"]
    assert not bank.output.exists()
    bank.write([], customer_id=pa.array([], pa.int64()), amount=pa.array([], pa.float64()))
    assert "it has none" in bank.build(4).json["errors"][0]["what"]


# what it means


def test_quarantine_is_part_of_the_meaning_and_is_shown_and_what_fails_or_warns_is_not(bank: Expecting) -> None:
    bank.write([1.0, 2.0])

    def explained(expectations: str) -> dict[str, Any]:
        bank.define(expectations)
        found: dict[str, Any] = bank.run("explain", "bank", "--json").json["result"]
        return found

    plain = explained("")
    for action in ("fail", "warn"):
        assert explained(POSITIVE.format(action))["fingerprint"] == plain["fingerprint"]
    aside = explained(QUARANTINED)
    assert aside["fingerprint"] != plain["fingerprint"]
    assert f"in quarantine unless {REASON}" in aside["plan"]
    assert explained('expect.between("amount", 0, 10, action="quarantine")')["fingerprint"] != aside["fingerprint"]
    said = QUARANTINED + ', expect.not_null("amount", action="warn")'
    assert explained(said)["fingerprint"] == aside["fingerprint"]
    both = [QUARANTINED, 'expect.not_null("amount", action="quarantine")']
    assert explained(", ".join(both))["fingerprint"] == explained(", ".join(reversed(both)))["fingerprint"]


def test_the_committed_sql_leaves_the_rows_out(bank: Expecting) -> None:
    bank.define(QUARANTINED)
    bank.write([1.0, 2.0])
    bank.run("compile")
    texts = [path.read_text() for path in (bank.folder / "sql" / "duckdb").rglob("*.sql")]
    assert texts
    for text in texts:
        assert text.count("FROM source__payments") == text.count('WHERE ((canonical_double("amount") IS NULL) OR (')


# push

CARD = 'expect.matches("card", "c[0-9]+", action="fail")'


def row(amount: float | None = 1.0, **columns: Any) -> dict[str, Any]:
    return {"payment_id": "n", "customer_id": 2, "paid_at": T0, "amount": amount, "card": "c1", **columns}


@pytest.fixture
def pushed_to(bank: Expecting) -> Bank:
    bank.define(f'{QUARANTINED}, {CARD}, expect.not_null("amount", action="warn")', VERSIONS)
    bank.write([10.0, 20.0, 30.0], payment_id=["p", "q", "r"], loaded_at=[T0] * 3, card=["c1"] * 3)
    return bank


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"amount": -5.0}, f"amount is -5.0, which breaks: {REASON}"),
        ({"amount": float("nan")}, f"amount is NaN, which breaks: {REASON}"),
        ({"card": "c"}, 'card is "c", which breaks: card matches c[0-9]+'),
    ],
)
def test_a_pushed_row_that_would_stop_a_build_or_be_set_aside_is_not_taken(pushed_to: Bank, columns: Any, what: str) -> None:
    store = FeatureStore(pushed_to.folder)
    with pytest.raises(PushError) as caught:
        store.push("payments", [row(), row(**columns)])
    assert (caught.value.code, caught.value.what, caught.value.where) == ("FS343", what, "row 1 (counted from 0)")
    assert store.push_positions(["payments"]) == {}


def test_a_pushed_row_that_only_warns_is_taken_and_so_is_one_with_null(pushed_to: Bank) -> None:
    store = FeatureStore(pushed_to.folder)
    assert store.push("payments", [row(None), row(100_000.0), row(card=None)])["accepted"] == 3


def test_a_server_that_has_no_definitions_refuses_the_same_rows(pushed_to: Bank) -> None:
    from featurestore.materialization.pushed import check_expected
    from featurestore.sources.push_rows import PushTarget

    store = FeatureStore(pushed_to.folder)
    data = json.loads(json.dumps(PushTarget.of(store.registry.sources["payments"], store.types_of("payments")).to_data()))
    target = PushTarget.from_data("payments", data)
    assert target == PushTarget.of(store.registry.sources["payments"], store.types_of("payments"))
    for amount, good in ((1.0, True), (-1.0, False)):
        batch = target.rows([row(amount)], now=4 * T0, skew=parse_duration("5m"))
        if good:
            check_expected(target, batch)
        else:
            with pytest.raises(PushError):
                check_expected(target, batch)


def test_a_row_pushed_before_it_was_unexpected_is_set_aside_online_and_offline(bank: Expecting) -> None:
    """It replaced a fact; with the expectation that it breaks the fact is back, in builds, runs and look-ups."""
    bank.define("", VERSIONS)
    bank.write([10.0, 20.0], payment_id=["p", "q"], loaded_at=[T0] * 2, card=["c1"] * 2)
    bank.spine([1])
    store = FeatureStore(bank.folder)
    store.materialize(known_before=T0 + 2 * DAY)
    store.push("payments", [row(-5.0, payment_id="q", customer_id=1, paid_at=T0 + DAY)])
    asked = {"customer_id": [1]}
    assert store.get_online_features("bank", asked).rows == [[-5.0, 5.0, 2]]
    store.online.close()
    bank.define(f"{QUARANTINED}", VERSIONS + ", allow_left_out=True")
    store = FeatureStore(bank.folder)
    store.materialize(known_before=T0 + 3 * DAY)  # the row lies beyond the watermark: it is applied, or not, by the rules
    assert store.get_online_features("bank", asked).rows == [[20.0, 30.0, 2]]
    store.materialize()
    assert store.get_online_features("bank", asked).rows == [[20.0, 30.0, 2]]
    store.online.close()
    assert bank.answers() == [[20.0, 30.0, 2]]
    kept = pq.read_table(bank.aside).to_pylist()
    assert [(r["__file"], r["__row"], r["amount"]) for r in kept] == [("push log, positions 1 to 1", 0, -5.0)]


def test_online_is_what_a_build_says_with_rows_in_quarantine_and_verify_agrees(pushed_to: Bank) -> None:
    pushed_to.write([-1.0, 5.0], "b", payment_id=["r", "s"], customer_id=[1, 2], loaded_at=[T0 + DAY] * 2, card=["c1"] * 2)
    pushed_to.run("materialize")
    pushed_to.write([-2.0], "c", payment_id=["q"], loaded_at=[T0 + 2 * DAY], card=["c2"])
    pushed_to.run("materialize")
    store = FeatureStore(pushed_to.folder)
    online = store.get_online_features("bank", {"customer_id": [1, 2]}).rows
    store.online.close()
    assert online == pushed_to.answers() == [[30.0, 60.0, 3], [5.0, 5.0, 1]]
    assert pushed_to.run("verify", "--json").json["ok"]


def test_an_entity_that_is_forgotten_is_not_kept_in_quarantine(bank: Expecting) -> None:
    bank.define(QUARANTINED)
    bank.write([10.0, -1.0, 30.0])
    bank.run("materialize")
    assert bank.aside.exists()
    bank.run("forget", "customer=1")
    assert not bank.aside.exists()


def test_over_http_a_row_that_breaks_an_expectation_is_422_and_nothing_is_taken(pushed_to: Bank) -> None:
    pushed_to.run("materialize")
    at = "2023-11-14T22:13:20Z"
    with serving(pushed_to.folder, push=True) as server:
        for amount, status in ((-5.0, 422), (5.0, 200)):
            body = json.dumps({"rows": [row(amount, paid_at=at)]}).encode()
            answer = server.send("POST", "/v1/push/payments", body, {"content-type": "application/json"})
            assert answer.status == status, answer.body
            assert status == 200 or answer.json["code"] == "FS343"
    assert FeatureStore(pushed_to.folder).push_positions(["payments"]) == {"payments": 1}


def test_a_disk_that_is_full_leaves_the_rows_kept_before_and_no_training_set(
    bank: Expecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank.define(QUARANTINED)
    bank.write([10.0, -1.0, 30.0])
    bank.build()
    before = bank.aside.read_bytes()
    bank.output.unlink()
    bank.write([10.0, 20.0, -2.0], "b")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", full)
    assert bank.build(5).json["errors"][0]["code"] == "FS405"
    assert bank.aside.read_bytes() == before
    assert os.listdir(bank.aside.parent) == ["payments.parquet"]
    assert not bank.output.exists()
