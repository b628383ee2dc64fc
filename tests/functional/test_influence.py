"""`featurestore influence` by stories: poison is found, winners and versions are told apart, what cannot be asked is said."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView, agg, latest
from featurestore.audit.influences import OVERFLOW, Influences, distance
from tests.functional.conftest import contents

DAY = 86_400_000_000
T = 20_000 * DAY
TIME = pa.timestamp("us", "UTC")
who = Entity(name="who", join_keys=["who"])


def table(columns: str, *rows: tuple[Any, ...]) -> pa.Table:
    """Rows whose e and k are in days after T."""
    arrays = {}
    for name, values in zip(columns.split(), zip(*rows, strict=True), strict=True):
        if name in ("e", "k"):
            arrays[name] = pa.array([None if v is None else T + int(v * DAY) for v in values], pa.int64()).cast(TIME)
        else:
            arrays[name] = pa.array(values)
    return pa.table(arrays)


def ask(facts: pa.Table, feature: Any, at: float = 0, *, key: int = 1, **options: Any) -> Influences:
    """Of one key at an instant in days after T. options: of the source, the view's `where` and `ttl`, and of the question."""
    view = {name: options.pop(name) for name in ("where", "ttl", "allow_exact_matches") if name in options}
    asked = {name: options.pop(name) for name in ("top", "reach") if name in options}
    source = ArrowSource(name="facts", table=facts, event_timestamp="e", allow_left_out=True, **(options or {"delay": "0s"}))
    made = FeatureView(name="view", entities=[who], source=source, features=[feature], **view)
    store = FeatureStore(definitions=[FeatureService(name="service", features=[made])])
    return store.influence("service", feature.name, keys={"who": key}, as_of=T + int(at * DAY), **asked)


def told(found: Influences) -> list[tuple[int, Any, Any]]:
    """Of the one row asked: (row of the source, without it, by how much it moves the value or NULL)."""
    [asked] = found.rows
    return [(i.row.row, i.without, None if i.null else i.moves) for i in asked.rows]


# What moves a value.


@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_a_poisoned_row_ranks_first(aggregate):
    """In 50 of 50 trials, for the value it poisons and over all: each trial has keys of its own."""
    rows, poisoned = [], {}
    for trial in range(50):
        rng = Random(f"{aggregate} {trial}")
        mine = [(5 * trial + rng.randrange(5), -9 * rng.random(), round(rng.uniform(1, 100), 2)) for _ in range(100)]
        place = rng.randrange(len(mine))
        mine[place] = (*mine[place][:2], rng.choice((1e6, -1e6, 5e4, math.inf, math.nan)))
        poisoned[mine[place][0]] = len(rows) + place
        rows += mine
    feature = getattr(agg, aggregate)("x", window="10d", name="f")
    source = ArrowSource(name="facts", table=table("who e x", *rows), event_timestamp="e", delay="0s")
    asked = FeatureService(
        name="service", features=[FeatureView(name="view", entities=[who], source=source, features=[feature])]
    )
    spine = pa.table({"who": list(range(250)), "as_of": pa.array([T] * 250, pa.int64()).cast(TIME)})
    found = FeatureStore(definitions=[asked]).influence(asked, "f", spine, top=5_000)
    assert {key: found.rows[key].rows[0].row.row for key in poisoned} == poisoned
    first = {o.row.row // 100: o.row.row for o in reversed(found.overall)}
    assert list(poisoned.values()) == [first[trial] for trial in range(50)]


def test_without_its_winner_a_latest_value_is_the_next_ones():
    facts = table("who e s", (1, -3, "a"), (1, -2, "b"), (1, -1, "c"), (2, -1, "d"), (1, 1, "not yet"))
    assert told(ask(facts, latest("s"))) == [(2, "b", 1.0), (0, "c", 0.0), (1, "c", 0.0)]


def test_of_equal_rows_none_moves_a_latest_value():
    facts = table("who e s", (1, -1, "a"), (1, -1, "a"), (1, -2, "b"))
    assert told(ask(facts, latest("s"))) == [(0, "a", 0.0), (1, "a", 0.0), (2, "a", 0.0)]


def test_null_counts_as_farther_than_any_number():
    facts = table("who e x", (1, -1, None), (1, -2, 1e9))
    assert told(ask(facts, latest("x"))) == [(0, 1e9, None), (1, None, 0.0)]
    alone = table("who e x", (1, -1, 5.0), (1, -1, None))
    found = ask(alone, agg.sum("x", window="7d", name="f"))
    assert told(found) == [(0, None, None), (1, 5.0, 0.0)]
    assert [(o.row.row, o.moved, o.sum, o.nulls) for o in found.overall] == [(0, 1, 5.0, 1)]


def test_only_what_the_feature_looks_at_is_in_reach():
    facts = table("who e x", (1, -8, 1.0), (1, -7, 2.0), (1, -1, 4.0), (1, 0, 8.0), (2, -1, 16.0))
    assert told(ask(facts, agg.sum("x", window="7d", name="f"))) == [(2, 2.0, 4.0), (1, 4.0, 2.0)]
    assert told(ask(facts, agg.sum("x", window="7d", offset="1d", name="f"))) == [(1, 1.0, 2.0), (0, 2.0, 1.0)]
    exact = ask(facts, agg.sum("x", window="7d", name="f"), allow_exact_matches=True)
    assert told(exact) == [(3, 4.0, 8.0), (2, 8.0, 4.0)]
    assert told(ask(facts, latest("x"), ttl="1d")) == [(2, None, None)]


def test_a_version_left_out_lets_the_one_before_stand_again():
    facts = table(
        "fact who e k x", ("p", 1, -5, -5, 10.0), ("p", 1, -5, -2, 11.0), ("q", 1, -4, -4, 1.0), ("q", 2, -4, -1, 1.0),
        ("p", 1, -5, 1, 99.0),
    )  # fmt: skip
    found = ask(facts, agg.sum("x", window="7d", name="f"), created_timestamp="k", row_key=["fact"])
    assert found.rows[0].value == 11.0
    # Without the correction of p it is 10; without that which moved q away, q counts; their first versions hide behind them.
    assert told(found) == [(1, 10.0, 1.0), (3, 12.0, 1.0), (0, 11.0, 0.0), (2, 11.0, 0.0)]


def test_a_tombstone_left_out_brings_its_fact_back():
    facts = table("fact who e k x gone", ("p", 1, -5, -5, 10.0, False), ("p", 1, -5, -2, 10.0, True))
    found = ask(facts, agg.sum("x", window="7d", name="f"), created_timestamp="k", row_key=["fact"], deleted="gone")
    assert (found.rows[0].value, told(found)) == (None, [(1, 10.0, None), (0, None, 0.0)])


def test_a_sum_that_leaves_its_type_without_a_row_moves_without_bound():
    facts = table("who e n", (1, -1, 2**62), (1, -1, 2**62), (1, -1, -(2**62)))
    assert told(ask(facts, agg.sum("n", window="7d", name="f"))) == [(2, OVERFLOW, math.inf), (0, 0, 2.0**62), (1, 0, 2.0**62)]


def test_a_value_computed_on_demand_moves_with_the_rows_of_all_its_inputs():
    spent = ArrowSource(name="spent", table=table("who e x", (1, -2, 6.0), (1, -1, 2.0)), event_timestamp="e", delay="0s")
    limits = ArrowSource(name="limits", table=pa.table({"who": [2, 1], "most": [1.0, 4.0]}), static=True)
    by_who = FeatureView(name="by_who", entities=[who], source=spent, features=[agg.sum("x", window="7d"), latest("x")])
    limit = FeatureView(name="limit", entities=[who], source=limits, features=[latest("most")])
    unread = FeatureView(name="unread", entities=[who], source=spent, features=[agg.count(window="1d")])
    share = OnDemandFeatureView(
        name="share", inputs=[by_who, limit, unread], request={"more": "double"},
        features={"used": "(x_sum_7d + more) / most", "other": "count_1d"},
    )  # fmt: skip
    store = FeatureStore(definitions=[FeatureService(name="service", features=[share])])
    found = store.influence("service", "used", keys={"who": 1}, request={"more": 4.0}, as_of=T)
    assert found.rows[0].value == 3.0
    assert [(i.row.source, i.row.row, i.without) for i in found.rows[0].rows] == [
        ("limits", 1, None), ("spent", 0, 1.5), ("spent", 1, 2.5)
    ]  # fmt: skip
    static = found.rows[0].rows[0].row
    assert (static.event_time, static.known_time, static.values) == (None, None, {"who": 1, "most": 4.0})


def test_what_is_not_tried_is_counted_and_the_newest_are():
    facts = table("who e x", *[(1, -1 - i / 10, float(i + 1)) for i in range(9)])
    found = ask(facts, agg.sum("x", window="7d", name="f"), reach=4, top=2)
    assert (found.cut, found.rows[0].reach, found.rows[0].tried) == (1, 9, 4)
    assert [row for row, _, _ in told(found)] == [3, 2]


@pytest.mark.parametrize(
    "value, without, numeric, expected",
    [
        (1.5, 1.5, True, 0.0),
        (5, -5, True, 10.0),
        (2**70, 0, True, 2.0**70),
        (0, None, True, 1.0),
        (None, 7.5, True, 7.5),
        (math.nan, 1.0, True, math.inf),
        (math.nan, math.nan, True, 0.0),
        (math.inf, None, True, math.inf),
        (3, OVERFLOW, True, math.inf),
        ("a", "b", False, 1.0),
        (True, None, False, 1.0),
        ([1.0], [1.0, 2.0], False, 1.0),
        (1e308, -1e308, True, math.inf),
    ],
)
def test_how_far_a_value_moves(value, without, numeric, expected):
    assert distance(value, without, numeric=numeric) == expected


# On the command line.


def test_one_entity_is_asked_by_its_key_and_files_are_left_alone(cli, project):
    before = contents(project)
    row = next(r for r in pq.read_table("data/payments").to_pylist() if r["status"] == "settled" and not r["is_deleted"])
    customer, at = row["customer_id"], (max(row["paid_at"], row["loaded_at"]) + timedelta(days=9)).isoformat()
    asking = ("influence", "fraud_v1", "--feature", "amount_sum_30d", f"customer_id={customer}", "--as-of", at)
    said = cli(*asking, "merchant_id=m00001", "--json")
    assert said.code == 0, said.err
    [asked] = said.json["result"]["rows"]
    assert asked["key"] == {"customer_id": customer}
    assert asked["reach"] >= len(asked["rows"]) > 0
    for found in asked["rows"]:
        held = pq.read_table(project / found["file"]).slice(found["row"], 1).to_pylist()[0]
        assert (held["customer_id"], held["payment_id"]) == (customer, found["values"]["payment_id"])
        assert found["moves"] in (0, pytest.approx(held["amount"]))
    assert contents(project) == before
    assert cli(*asking).out.startswith(f"amount_sum_30d of customer_id={customer} as of {asked['as_of']} is ")


def test_poison_in_a_file_is_found_over_a_spine(cli, project):
    path = project / "data/payments/2025-06.parquet"
    rows = pq.read_table(path).to_pylist()
    row = next(i for i, r in enumerate(rows) if r["status"] == "settled" and not r["is_deleted"])
    rows[row]["amount"] = 1e9
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)
    key, at = rows[row]["customer_id"], max(rows[row]["paid_at"], rows[row]["loaded_at"])
    spine = pq.read_table("data/spine.parquet").slice(0, 40).to_pylist()
    spine[7] |= {"customer_id": key, "as_of": at.replace(minute=59, second=59)}
    pq.write_table(pa.Table.from_pylist(spine), "asked.parquet")
    said = cli("influence", "fraud_v1", "--feature", "amount_sum_1d", "--spine", "asked.parquet", "--top", 3, "--json").json
    found = said["result"]["overall"][0]
    assert (found["file"], found["row"]) == ("data/payments/2025-06.parquet", row)
    assert said["result"]["asked"] == 40
    text = cli("influence", "fraud_v1", "--feature", "amount_sum_1d", "--spine", "asked.parquet", "--top", 1).out
    assert f"data/payments/2025-06.parquet {row} " in text


def test_rows_that_were_pushed_are_named_by_their_log(cli, project):
    rows = pq.read_table(project / "data/payments/2025-12.parquet").slice(0, 1).drop_columns(["loaded_at"]).to_pylist()
    rows[0] |= {"payment_id": 77, "status": "settled", "amount": 12.5, "paid_at": datetime.now(UTC) - timedelta(hours=1)}
    rows[0] |= {"is_deleted": False}
    FeatureStore(project).push("payments", rows)
    [asked] = FeatureStore(project).influence("fraud_v1", "amount_sum_1d", keys={"customer_id": rows[0]["customer_id"]}).rows
    assert (asked.value, [(i.row.file, i.row.row, i.without) for i in asked.rows]) == (
        12.5, [("push log, positions 1 to 1", 0, None)]
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments, code, error",
    [
        (["--feature", "amount_sum", "customer_id=1"], 2, "FS101 unknown feature 'amount_sum'"),
        (["--feature", "amount_sum_7d"], 2, "FS102 give either --spine or the keys"),
        (["--feature", "amount_sum_7d", "customer_id=1", "--spine", "data/spine.parquet"], 2, "FS102 give either"),
        (
            ["--feature", "amount_sum_7d", "--spine", "data/spine.parquet", "--as-of", "2026-01-01T00:00:00Z"],
            2,
            "FS102 --as-of",
        ),
        (["--feature", "amount_sum_7d", "merchant_id=m1"], 2, "FS502 missing key 'customer_id'"),
        (["--feature", "amount_sum_7d", "customer=1"], 2, "FS502 unknown key 'customer'"),
        (["--feature", "amount_sum_7d", "customer_id=x"], 2, "FS504"),
        (["--feature", "amount_sum_7d", "customer_id=1", "--as-of", "2026-01-01"], 2, "FS103"),
        (["--feature", "amount_sum_7d", "customer_id=1", "--top", "0"], 2, "FS102 --top 0"),
        (["--feature", "amount_sum_7d", "customer_id=1", "--reach", "0"], 2, "FS102 --reach 0"),
        (["--feature", "amount_sum_7d", "--spine", "nowhere.parquet"], 4, "FS301"),
        (["customer_id=1"], 2, "FS100"),
    ],
)
def test_what_is_typed_wrong_is_said(arguments, code, error, cli, project):
    said = cli("influence", "fraud_v1", *arguments)
    assert said.code == code
    assert said.err.splitlines()[-1].startswith(error)


def test_a_label_is_refused():
    from featurestore import LabelView
    from featurestore.errors import UsageError

    source = ArrowSource(name="facts", table=table("who e x", (1, -1, 1.0)), event_timestamp="e", delay="0s")
    view = FeatureView(name="view", entities=[who], source=source, features=[latest("x")])
    label = LabelView(name="soon", entities=[who], source=source, label=agg.count(window="1d", name="soon_1d"))
    store = FeatureStore(definitions=[FeatureService(name="service", features=[view], labels=[label])])
    with pytest.raises(UsageError, match="is a label, which looks ahead"):
        store.influence("service", "soon_1d", keys={"who": 1}, as_of=T)
