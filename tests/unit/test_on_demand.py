"""On-demand views: what a definition may say, what a service computes and hides, and how names are kept apart."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from featurestore import (
    ArrowSource,
    DefinitionError,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    LabelView,
    OnDemandFeatureView,
    agg,
    latest,
    trees,
)
from featurestore.discovery import definitions_in
from featurestore.dtypes import DOUBLE, INT64, parse_dtype
from featurestore.errors import RequestError, SpineError, StoreFormat, UsageError
from featurestore.expressions import parse
from featurestore.intervals import FixedClock
from featurestore.plan import training_set
from featurestore.plan.leakage import prove
from featurestore.plan.nodes import Output
from featurestore.registry import BoundService, Operand, Registry
from featurestore.retrieval.online_request import checked_request
from featurestore.retrieval.training_set import Report

DAY = 86_400_000_000
W = 20_000 * DAY
TIME = pa.timestamp("us", "UTC")
FACTS = pa.table({
    "k": pa.array([1, 1, 2], pa.int64()), "e": pa.array([W - 9, W - 5, W - 5], pa.int64()).cast(TIME),
    "x": pa.array([4.0, 8.0, 0.0]), "n": pa.array([1, 2, None], pa.int64()), "s": ["a", "b", "c"],
    "day": pa.array([0, 10**6, -(10**6)], pa.int32()).cast(pa.date32()),
})  # fmt: skip
SOURCE = ArrowSource(name="facts", table=FACTS, event_timestamp="e", delay="0s")
THING = Entity(name="thing", join_keys=["k"])


def view(name: str = "v", features: Any = None, **options: Any) -> FeatureView:
    chosen = [latest("x"), latest("n"), agg.count(window="10us", name="c")] if features is None else features
    return FeatureView(name=name, entities=[THING], source=SOURCE, features=chosen, **options)


V = view()
LABEL = LabelView(name="label", entities=[THING], source=SOURCE, label=agg.count(window="30d", name="y"))


def made(features: Any = None, inputs: Any = (V,), request: Any = None, name: str = "o") -> OnDemandFeatureView:
    return OnDemandFeatureView(
        name=name, inputs=list(inputs), request={"amount": "double"} if request is None else request,
        features={"ratio": "amount / nullif(x, 0)"} if features is None else features,
    )  # fmt: skip


def service(*features: Any, name: str = "s") -> FeatureService:
    return FeatureService(name=name, features=list(features))


def bound(*features: Any) -> BoundService:
    registry = Registry.of([service(*features)])
    return registry.bind({"facts": {f.name: parse_dtype(f.type) for f in FACTS.schema}}).services["s"]


def store(*features: Any, now: int = W) -> FeatureStore:
    return FeatureStore(definitions=[service(*features)], clock=FixedClock(now))


def spine(**columns: Any) -> pa.Table:
    keys = columns.pop("k", [1, 2, 3])
    return pa.table({"k": pa.array(keys, pa.int64()), "as_of": pa.array([W] * len(keys), pa.int64()).cast(TIME), **columns})


# --- what a definition may say ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "sum(x)", "avg(x) + 1", "count(*)", "max(x)", "row_number() OVER (ORDER BY x)", "lag(x) OVER ()", "(SELECT 1)",
        "x IN (SELECT 1)", "EXISTS (SELECT 1)", "now()", "current_timestamp", "current_date", "today()", "random()", "uuid()",
        "gen_random_uuid()", "v.x", "nextval('a')", "getenv('HOME')", "read_text('a')", "x -> 'a'", "list_aggregate(x, 'sum')",
    ],
)  # fmt: skip
def test_what_could_see_another_row_a_clock_or_chance_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError) as error:
        made({"f": text})
    assert error.value.code in ("FS214", "FS215")
    assert "test_on_demand.py" in error.value.where


WRONG: dict[str, tuple[Callable[[], Any], str, str]] = {
    "inputs is no list": (lambda: OnDemandFeatureView(name="o", inputs=V, features={"f": "x"}), "FS202", "card_payments"),
    "no features": (lambda: made({}), "FS202", "ratio"),
    "features is a list": (lambda: made([latest("x")]), "FS202", "ratio"),
    "a feature that is no text": (lambda: made({"f": 1}), "FS214", "scalar SQL"),
    "a feature without a name": (lambda: made({"The Ratio": "x"}), "FS201", "the_ratio"),
    "request is a list": (lambda: made(request=["amount"]), "FS202", "double"),
    "an unknown type": (lambda: made(request={"amount": "money"}), "FS213", ""),
    "a list from the request": (lambda: made(request={"amount": "list<double>"}), "FS213", "column"),
    "a decimal from the request": (lambda: made(request={"amount": "decimal(9, 2)"}), "FS213", "double"),
    "a request name that is none": (lambda: made(request={"Amount": "double"}), "FS201", "amount"),
    "an on-demand view as input": (lambda: made(inputs=[made(name="p")]), "FS228", "inputs"),
    "an instance of one as input": (lambda: made(inputs=[made(name="p").with_prefix("x_")]), "FS228", "inputs"),
    "a service as input": (lambda: made(inputs=[service(V)]), "FS228", "card_payments"),
    "a label as input": (lambda: made(inputs=[V, LABEL]), "FS228", "card_payments"),
    "an instance of a label as input": (lambda: made(inputs=[LABEL.with_prefix("y_")]), "FS228", "card_payments"),
    "a feature as input": (lambda: made(inputs=[latest("x")]), "FS228", "card_payments"),
    "text as input": (lambda: made(inputs=["v"]), "FS228", "card_payments"),
    "an unknown name": (lambda: made({"f": "amuont / x"}), "FS203", "amount"),
    "a source column that is no feature": (lambda: made({"f": "s || 'x'"}), "FS203", "as_of"),
    "an input's unprefixed name": (lambda: made({"f": "x"}, inputs=[V.with_prefix("a_")]), "FS203", ""),
    "a feature its input does not pick": (lambda: made({"f": "n"}, inputs=[V[["x"]]]), "FS203", ""),
    "one column in two inputs": (lambda: made(inputs=[V, view("w")]), "FS207", "with_prefix"),
    "one input twice": (lambda: made(inputs=[V, V]), "FS207", "with_prefix"),
    "a request column named as an input's": (lambda: made({"f": "x"}, request={"x": "double"}), "FS207", "request"),
    "a request column named as_of": (lambda: made({"f": "x"}, request={"as_of": "timestamp"}), "FS207", "request"),
    "a feature named as one of its inputs": (lambda: made({"x": "x * 2"}), "FS207", "another name"),
    "… as one it does not read": (lambda: made({"n": "x * 2"}), "FS207", "another name"),
    "… as its request column": (lambda: made({"amount": "x * 2"}), "FS207", "another name"),
    "… as the instant": (lambda: made({"as_of": "x * 2"}), "FS207", "another name"),
    "keys mapped on it": (lambda: made().with_join_key_map({"k": "j"}), "FS228", "inputs"),
    "keys mapped on an instance": (lambda: made().alias("p").with_join_key_map({"k": "j"}), "FS228", "inputs"),
    "an unknown feature picked": (lambda: made()[["ration"]], "FS203", "ratio"),
    "a feature picked twice": (lambda: made()[["ratio", "ratio"]], "FS202", "view"),
    "a prefix that is none": (lambda: made().with_prefix("A "), "FS201", ""),
    "an alias that is none": (lambda: made().alias("A "), "FS201", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_what_cannot_mean_anything_is_refused_with_what_to_try(case: tuple[Callable[[], Any], str, str]) -> None:
    make, code, hint = case
    with pytest.raises(DefinitionError) as error:
        make()
    assert (error.value.code, hint in error.value.hint) == (code, True), str(error.value)
    assert "test_on_demand.py" in error.value.where


UNFIT: dict[str, tuple[Callable[[], Any], str]] = {
    "two features of one name": (lambda: service(V, made({"f": "amount"}), made({"f": "amount"}, name="p")), "FS207"),
    "a feature of a listed view's name": (lambda: service(V, made({"x": "amount"}, inputs=[])), "FS207"),
    "two views of one name": (lambda: service(V, made(name="v")), "FS207"),
    "a hidden view of a listed one's name": (
        lambda: service(V, made(inputs=[V.with_join_key_map({"k": "j"})])), "FS207",
    ),
    "a feature has a request column's name": (
        lambda: service(view(features=[latest("x", name="amount")]), made({"f": "amount"}, inputs=[V.with_prefix("v_")])),
        "FS207",
    ),
    "a label has a request column's name": (
        lambda: FeatureService(name="s", features=[made({"f": "y"}, request={"y": "int64"})], labels=[LABEL]), "FS207",
    ),
    "a label view has its name": (lambda: FeatureService(name="s", features=[made(name="label")], labels=[LABEL]), "FS207"),
    "it stands among the labels": (lambda: FeatureService(name="s", features=[V], labels=[made()]), "FS231"),
    "one request column of two types": (
        lambda: service(made({"f": "amount"}), made({"g": "amount"}, request={"amount": "int64"}, name="p")), "FS229",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_into_a_service_is_refused(case: tuple[Callable[[], Any], str]) -> None:
    make, code = case
    with pytest.raises(DefinitionError) as error:
        make()
    assert error.value.code == code, str(error.value)


def test_an_alias_or_a_prefix_makes_room_for_a_hidden_view() -> None:
    moved = V.with_join_key_map({"k": "j"}).alias("moved")
    assert [i.name for i in service(V, made(inputs=[moved])).instances] == ["v", "moved"]


@pytest.mark.parametrize(
    "features, request_, code",
    [
        ({"f": "x || 'a'"}, {}, "FS216"),
        ({"f": "CASE WHEN x THEN 1 END"}, {}, "FS216"),
        ({"f": "NULL"}, {}, "FS216"),
        ({"f": "amount + 1"}, {"amount": "string"}, "FS216"),
        ({"f": "k + 1"}, {"k": "int64"}, "FS207"),
    ],
)
def test_types_and_keys_are_checked_when_they_are_known(features: Any, request_: Any, code: str) -> None:
    with pytest.raises(DefinitionError) as error:
        bound(V, made(features, request=request_))
    assert error.value.code == code
    assert "test_on_demand.py" in error.value.where


def test_a_name_serves_one_view_on_demand_or_not() -> None:
    with pytest.raises(DefinitionError) as error:
        Registry.of([V, made(name="v")])
    assert error.value.code == "FS209"
    assert error.value.where.count("test_on_demand.py") == 2
    with pytest.raises(DefinitionError) as error:
        Registry.of([LABEL, made(name="label")])
    assert error.value.code == "FS209"
    with pytest.raises(DefinitionError) as error:
        Registry.of([made(), made()])
    assert error.value.code == "FS209"


def test_definitions_are_found_by_reach_and_in_instances() -> None:
    registry = Registry.of(definitions_in([made().alias("other")]))
    assert (list(registry.on_demand), list(registry.views), list(registry.sources)) == (["o"], ["v"], ["facts"])
    assert list(Registry.of([service(made(), name="s")]).on_demand) == ["o"]


def test_it_prints_like_other_definitions() -> None:
    assert repr(made({"f": "x"}, request={})) == "OnDemandFeatureView('o', inputs=[v], features={'f': 'x'})"
    assert repr(made().with_prefix("a_")) == "a_o (of o)"
    assert repr(made()[["ratio"]]) == "o[ratio]"


# --- what is computed, and what is hidden -----------------------------------------------------------------------------


def computed(*features: Any) -> list[tuple[str, list[str]]]:
    return [(i.name, [column for column, _ in i.computed]) for i in service(*features).instances]


def test_a_listed_input_is_computed_once() -> None:
    assert computed(V, made()) == [("v", ["x", "n", "c"])]
    assert computed(V.alias("a"), made()) == [("a", ["x", "n", "c"])]
    assert computed(V.with_join_key_map({"k": "k"}), made()) == [("v", ["x", "n", "c"])]


def test_what_is_not_listed_is_computed_beside_and_only_as_far_as_it_is_read() -> None:
    assert computed(V[["n"]], made()) == [("v", ["n", "v.x"])]
    assert computed(made()) == [("v", ["v.x"])]
    assert computed(V.with_prefix("p_"), made()) == [("p_v", ["p_x", "p_n", "p_c"]), ("v", ["v.x"])]
    assert computed(made({"f": "amount"})) == []
    assert computed(V[["n"]], V[["x"]].alias("b"), made()) == [("v", ["n"]), ("b", ["x"])]


def test_two_views_on_demand_share_what_is_hidden() -> None:
    other = made({"g": "x + n"}, inputs=[V.alias("again")], name="p")
    assert computed(made(), other) == [("v", ["v.x", "v.n"])]


def test_the_plan_reads_what_the_parts_give() -> None:
    plan = training_set(bound(V[["n"]], made({"f": "x + n + amount", "t": "as_of"})))
    [node] = plan.on_demand
    assert [(o.name, o.origin, o.column) for o in node.operands] == [
        ("x", "feature", "v.x"), ("n", "feature", "n"), ("amount", "request", "amount"), ("as_of", "as_of", "as_of"),
    ]  # fmt: skip
    assert plan.columns == ("n", "f", "t")


@pytest.mark.parametrize(
    "change",
    [
        lambda node: {"operands": (Operand("x", "feature", "elsewhere", DOUBLE), *node.operands[1:])},
        lambda node: {"operands": node.operands[:1]},
        lambda node: {"outputs": (Output("f", INT64, parse("label"), None),)},
        lambda node: {"outputs": (Output("f", INT64, parse("x"), None, aggregate="sum"),)},
    ],
)
def test_the_proof_fails_for_an_operand_from_elsewhere(change: Callable[[Any], dict[str, Any]]) -> None:
    from dataclasses import replace

    plan = training_set(bound(V, made({"f": "x + n"})))
    prove(plan)
    broken = replace(plan, on_demand=(replace(plan.on_demand[0], **change(plan.on_demand[0])),))
    with pytest.raises(DefinitionError) as error:
        prove(broken)
    assert error.value.code == "FS221"


# --- fingerprints -----------------------------------------------------------------------------------------------------

PLAIN = made({"f": "x + amount"})


@pytest.mark.parametrize(
    "other, same",
    [
        (made({"f": "( x  +  amount )"}), True),
        (
            OnDemandFeatureView(name="o", inputs=[V], request={"amount": "double"}, features={"f": "x + amount"}, owner="me"),
            True,
        ),
        (made({"f": "amount + x"}), False),
        (made({"g": "x + amount"}), False),
        (made({"f": "x + amount", "g": "x"}), False),
        (made({"f": "x + amount"}, request={"amount": "float"}), False),
        (made({"f": "x + amount"}, request={"amount": "double", "more": "double"}), False),
        (made({"f": "x + amount"}, inputs=[view(ttl="1d")]), False),
        (made({"f": "x + amount"}, inputs=[V[["x"]]]), False),
        (made({"f": "x + amount"}, inputs=[V.with_join_key_map({"k": "j"})]), False),
    ],
)
def test_a_fingerprint_changes_with_meaning_alone(other: OnDemandFeatureView, same: bool) -> None:
    one, two = bound(PLAIN), bound(other)
    assert (one.on_demand[0].fingerprint == two.on_demand[0].fingerprint) is same
    assert (one.fingerprint == two.fingerprint) is same


def test_a_service_without_any_keeps_its_fingerprint_and_manifest() -> None:
    manifest = bound(V).to_manifest()
    assert set(manifest) == {"fingerprint", "instances"}
    assert "hidden" not in manifest["instances"][0]


def test_trees_go_through_json_and_what_is_unknown_is_refused() -> None:
    tree = parse("CASE WHEN a IS NULL THEN 1e400 ELSE CAST(s AS DOUBLE) / -9223372036854775808 END")
    assert trees.from_data(json.loads(json.dumps(trees.to_data(tree), allow_nan=False))) == tree
    for wrong in ({"call": "exec", "args": []}, {"literal": "code", "value": "1"}, {}, {"column": 1}):
        with pytest.raises(StoreFormat):
            trees.from_data(wrong)


# --- training sets ----------------------------------------------------------------------------------------------------


def test_a_training_set_has_the_features_in_service_order_and_nothing_hidden() -> None:
    found = store(made(), V[["n"]]).build_training_set(
        "s", spine(amount=[2.0, 2.0, 2.0]), include=["status", "event_timestamp"]
    )
    assert found.column_names[3:5] == ["ratio", "n"]
    assert not [name for name in found.column_names if "." in name or "without" in name]
    assert found["ratio"].to_pylist() == [0.25, None, None]
    assert found["ratio__status"].to_pylist() == ["present", "null", "null"]
    assert found["ratio__event_timestamp"].null_count == 3


def test_the_report_counts_statuses_and_what_had_no_value() -> None:
    reports: list[Report] = []
    asked = made({"a": "1 / x", "b": "amount / nullif(x, 0)"})
    store(V[["n"]], asked).build_training_set("s", spine(amount=[2.0, 2.0, None]), report=reports.append)
    assert reports[0].without_value == {"a": 1, "b": 0}
    assert reports[0].views == {"v": {"present": 1, "null": 1, "expired": 0, "not_found": 1}, "o": {"present": 2, "null": 4}}
    assert list(reports[0].features) == ["n", "a", "b"]


def test_the_answer_is_the_same_over_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    import featurestore.retrieval.spine as spines
    import featurestore.retrieval.training_set as sets

    rows = spine(k=[1, 2, 3, None] * 25, amount=[float(i) for i in range(100)])
    features = (V[["n"]], made({"f": "coalesce(x, -1) * amount", "t": "epoch_us(as_of)"}))
    whole, reports = store(*features).build_training_set("s", rows), list[Report]()
    for module in (spines, sets):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    assert store(*features).build_training_set("s", rows, report=reports.append) == whole
    assert reports[0].rows == 100
    assert whole["f"].to_pylist() == [{1: 8.0, 2: 0.0}.get(k, -1.0) * i for i, k in enumerate(rows["k"].to_pylist())]


def test_a_request_column_may_be_what_a_reader_makes_of_the_type() -> None:
    asked = made({"f": "a + 1", "g": "t", "h": "w || '!'", "i": "b IS NULL"}, inputs=[],
                 request={"a": "int32", "t": "timestamp", "w": "string", "b": "binary"})  # fmt: skip
    rows = spine(
        k=[1], a=pa.array([5], pa.uint8()), t=["2024-01-01T00:00:00+01:00"], w=pa.array(["é"]).dictionary_encode(),
        b=pa.nulls(1),
    )  # fmt: skip
    found = store(asked).build_training_set("s", rows)
    assert found.select(["f", "h", "i"]).to_pylist() == [{"f": 6, "h": "é!", "i": True}]
    assert found["g"].cast(pa.int64()).to_pylist() == [1_704_063_600_000_000]
    assert found["a"].type == pa.uint8()


def test_request_columns_of_a_csv_are_read_as_their_types(tmp_path: Any) -> None:
    path = tmp_path / "spine.csv"
    path.write_text("k,as_of,amount,since,kept\n1,2024-10-04T00:00:00Z,2.5,2024-10-03 00:00,007\n2,2024-10-04T00:00:00Z,,,x\n")
    asked = made(
        {"f": "amount * 2", "g": "epoch_us(as_of) - epoch_us(since)"}, request={"amount": "double", "since": "timestamp"}
    )
    found = store(asked).build_training_set("s", path)
    assert found.select(["amount", "kept", "f", "g"]).to_pylist() == [
        {"amount": 2.5, "kept": "007", "f": 5.0, "g": DAY}, {"amount": None, "kept": "x", "f": None, "g": None},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "columns, dtype, code, words",
    [
        ({}, "double", "FS303", "amount"),
        ({"amuont": [1.0] * 3}, "double", "FS303", "amuont"),
        ({"amount": ["1"] * 3}, "double", "FS302", "string"),
        ({"amount": [1, 2, 3]}, "double", "FS302", "int64"),
        ({"amount": [1.0] * 3}, "float", "FS302", "double"),
        ({"amount": [1.0] * 3}, "int64", "FS302", "double"),
        ({"amount": [True] * 3}, "int64", "FS302", "bool"),
        ({"amount": [1, 2, 300]}, "int8", "FS302", "row 2"),
        ({"amount": [1, None, -1]}, "uint16", "FS302", "row 2"),
        ({"amount": ["2024-01-01T00:00:00Z", None, "soon"]}, "timestamp", "FS302", "row 2"),
        ({"amount": [date(2024, 1, 1)] * 3}, "timestamp", "FS302", "date32"),
        ({"amount": [[1.0]] * 3}, "double", "FS302", "list"),
    ],
)
def test_a_spine_without_the_column_or_of_another_type_is_refused(columns: Any, dtype: str, code: str, words: str) -> None:
    asked = made({"f": "amount IS NULL"}, request={"amount": dtype})
    with pytest.raises(SpineError) as error:
        store(V, asked).build_training_set("s", spine(**columns))
    assert error.value.code == code
    assert words in str(error.value)
    assert error.value.hint


def test_a_request_column_is_no_label() -> None:
    with pytest.raises(UsageError) as error:
        store(V, made()).build_training_set("s", spine(amount=[1.0] * 3), label="amount")
    assert error.value.code == "FS110"


def test_a_spine_column_with_the_feature_s_name_is_refused() -> None:
    with pytest.raises(SpineError) as error:
        store(V, made()).build_training_set("s", spine(amount=[1.0] * 3, ratio=[1.0] * 3))
    assert error.value.code == "FS304"


# --- look-ups ---------------------------------------------------------------------------------------------------------


def look_up(found: FeatureStore, *, t: int = W, k: Any = (1, 2, 3), **request: Any) -> list[dict[str, Any]]:
    answer = found.get_online_features("s", {"k": list(k)}, request=request, as_of=t)
    return [dict(zip(answer.feature_names, row, strict=True)) for row in answer.rows]


def test_a_look_up_computes_and_hides() -> None:
    found = store(made({"f": "amount / nullif(x, 0)", "late": "as_of"}), V[["n"]])
    found.materialize(known_before=W)
    assert look_up(found, amount=[2, 2.0, None]) == [
        {"f": 0.25, "late": W, "n": 2}, {"f": None, "late": W, "n": None}, {"f": None, "late": W, "n": None},
    ]  # fmt: skip
    answer = found.get_online_features("s", {"k": [1, 2, 3]}, request={"amount": [1.0] * 3})
    assert answer.statuses == [["present", "present", "present"], ["null", "present", "null"], ["null", "present", "not_found"]]
    assert answer.event_timestamps == [[None, None, W - 5], [None, None, W - 5], [None, None, None]]
    assert [str(t) for t in answer.to_arrow().schema.types] == ["double", "timestamp[us, tz=UTC]", "int64"]
    assert answer.watermarks == {"v": W}


def test_windows_and_ttl_of_inputs_are_judged_when_asked() -> None:
    aged = view(ttl="8us")
    found = store(aged[["n"]], made({"f": "c * 10 + coalesce(n, 0)"}, inputs=[aged], request={}))
    found.materialize(known_before=W)
    assert [look_up(found, t=t, k=[1])[0]["f"] for t in (W, W + 2, W + 4, W + 9)] == [22, 12, 10, 0]


def test_dates_of_any_year_mean_the_same_offline_and_online() -> None:
    dated = view(features=[latest("day")])
    written = {"later": "day > CAST(as_of AS DATE)", "began": "CAST(day AS TIMESTAMPTZ)", "same": "day"}
    asked = made({**written, "today": "CAST(as_of AS DATE)"}, inputs=[dated], request={})
    found = store(asked)
    found.materialize(known_before=W)
    offline = found.build_training_set("s", spine(k=[1, 2]))
    online = found.get_online_features("s", {"k": [1, 2]}).to_arrow()
    plain = {pa.date32(): pa.int32(), TIME: pa.int64(), pa.bool_(): pa.bool_()}
    for name in online.column_names:
        one, other = (table[name].cast(plain[table[name].type]).to_pylist() for table in (offline, online))
        assert (name, one) == (name, other)
    assert online["began"].cast(pa.int64()).to_pylist() == [10**6 * DAY, -(10**6) * DAY]


def test_a_stale_or_unavailable_input_is_not_evaluated() -> None:
    table = pa.table({
        "k": pa.array([1, 1, 1], pa.int64()), "e": pa.array([W - 2, W - 1, W + 10], pa.int64()).cast(TIME),
        "c": pa.array([W - 2, W - 1, W - 1], pa.int64()).cast(TIME), "n": pa.array([2**62, 2**62, 1], pa.int64()),
    })  # fmt: skip
    source = ArrowSource(name="facts", table=table, event_timestamp="e", created_timestamp="c")
    features = [latest("n"), agg.sum("n", window=None, name="total"), agg.count(window=None, name="c")]
    v = FeatureView(name="v", entities=[THING], source=source, features=features)
    asked = made({"a": "total IS NULL", "b": "n + 1", "c2": "c + amount", "d": "amount", "e": "coalesce(c, total)"}, inputs=[v])
    found = FeatureStore(definitions=[service(asked)], clock=FixedClock(W))
    found.config = found.config.model_copy(update={"online": found.config.online.model_copy(update={"horizon": "5us"})})
    found.materialize(known_before=W)
    answer = found.get_online_features("s", {"k": [1]}, request={"amount": [1.0]}, as_of=W)
    assert answer.rows == [[None, 2**62 + 1, 3.0, 1.0, None]]
    assert answer.statuses == [["unavailable", "present", "present", "present", "unavailable"]]
    answer = found.get_online_features("s", {"k": [1]}, request={"amount": [1.0]}, as_of=W + 11)
    assert answer.rows == [[None, None, None, 1.0, None]]
    assert answer.statuses == [["stale", "stale", "stale", "present", "stale"]]


def test_a_service_answers_by_its_old_expressions_until_a_run_brings_the_new() -> None:
    old, new = (store(V[["n"]], made({"f": text}, request={})) for text in ("x + 1", "x + c"))
    old.materialize(known_before=W)
    new.online = old.online
    assert look_up(new, k=[1]) == [{"n": 2, "f": 9.0}]
    new.materialize(known_before=W)
    assert look_up(new, k=[1]) == [{"n": 2, "f": 10.0}]


def test_a_new_input_has_to_be_materialized_before_the_service_switches() -> None:
    other = view("w", features=[latest("s")])
    old, new = store(made({"f": "x"}, request={})), store(made({"f": "x", "g": "upper(s)"}, inputs=[V, other], request={}))
    old.materialize(known_before=W)
    new.online = old.online
    new.materialize("v", known_before=W)
    assert look_up(new, k=[1]) == [{"f": 8.0}]
    new.materialize("w", known_before=W)
    assert look_up(new, k=[1]) == [{"f": 8.0, "g": "B"}]


def test_a_hidden_view_that_is_not_kept_online_keeps_its_service_offline() -> None:
    found = store(view("w")[["x"]], made(inputs=[view(online=False).with_prefix("p_")], features={"f": "p_x"}))
    found.materialize(known_before=W)
    with pytest.raises(UsageError) as error:
        look_up(found, amount=[1.0] * 3)
    assert error.value.code == "FS501"


def test_a_service_of_request_columns_alone_is_answered() -> None:
    found = FeatureStore(definitions=[service(made({"f": "amount * 2"}, inputs=[])), V], clock=FixedClock(W))
    found.materialize(known_before=W)
    answer = found.get_online_features("s", {}, request={"amount": 4})
    assert (answer.rows, answer.statuses, answer.watermarks) == ([[8.0]], [["present"]], {})


# --- requests ---------------------------------------------------------------------------------------------------------

TYPES = {name: parse_dtype(name) for name in ("bool", "int8", "uint64", "double", "float", "string", "date32", "binary")}
TYPES["time"] = parse_dtype("timestamp")


@pytest.mark.parametrize(
    "name, given, read",
    [
        ("bool", True, True),
        ("int8", -128, -128),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("double", 20, 20.0),
        ("double", -0.0, 0.0),
        ("double", "-Infinity", -math.inf),
        ("double", 2**53 + 1, 2.0**53),
        ("float", 0.1, 0.10000000149011612),
        ("string", "é", "é"),
        ("date32", "1970-01-02", 1),
        ("date32", date(1969, 12, 31), -1),
        ("time", "1970-01-01T01:00:00.000001+01:00", 1),
        ("time", datetime(1970, 1, 2, tzinfo=UTC), DAY),
        ("binary", "AP8=", b"\x00\xff"),
        ("binary", b"a", b"a"),
        ("string", None, None),
    ],
)
def test_a_value_is_read_as_its_type(name: str, given: object, read: object) -> None:
    [found] = checked_request({name: TYPES[name]}, {name: [given]}, 1)[name]
    assert (repr(found), type(found)) == (repr(read), type(read))


def test_nan_is_the_one_nan() -> None:
    assert math.isnan(checked_request({"double": DOUBLE}, {"double": ["NaN"]}, 1)["double"][0])


@pytest.mark.parametrize(
    "name, given",
    [
        ("bool", 1), ("bool", "true"), ("int8", 128), ("int8", True), ("int8", 1.0), ("int8", "1"), ("uint64", -1),
        ("uint64", 2**64), ("double", True), ("double", "1.5"), ("double", [1.0]), ("double", 10**400), ("float", 1e39),
        ("string", 1), ("string", "\ud800"), ("date32", "2024-1-1"), ("date32", "2024-02-30"), ("date32", 1),
        ("date32", datetime(2024, 1, 1, tzinfo=UTC)), ("time", "2024-01-01"), ("time", "2024-01-01T00:00:00"),
        ("time", datetime(2024, 1, 1)), ("time", 0), ("time", True), ("binary", "a"), ("binary", 1),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(name: str, given: object) -> None:
    with pytest.raises(RequestError) as error:
        checked_request({name: TYPES[name]}, {name: [given]}, 1)
    assert error.value.code == "FS504"
    assert name in str(error.value)


@pytest.mark.parametrize(
    "given, code, words",
    [
        ({}, "FS502", "missing"),
        ({"amuont": [1.0]}, "FS502", "amount"),
        ({"amount": [1.0], "more": [1]}, "FS502", "more"),
        ({"amount": []}, "FS504", "0 values for 1 rows"),
        ({"amount": [1.0, 2.0]}, "FS504", "2 values for 1 rows"),
        ({"amount": "ab"}, "FS504", "list"),
        ({"amount": 1.0}, "FS504", "list"),
    ],
)
def test_a_request_brings_exactly_the_columns_one_value_per_row(given: Any, code: str, words: str) -> None:
    with pytest.raises(RequestError) as error:
        checked_request({"amount": DOUBLE}, given, 1)
    assert error.value.code == code
    assert words in str(error.value)


def test_a_service_that_takes_nothing_refuses_a_request() -> None:
    found = store(V)
    found.materialize(known_before=W)
    with pytest.raises(RequestError) as error:
        look_up(found, amount=[1.0] * 3)
    assert error.value.code == "FS502"
