"""Plans: from definitions to nodes, and in words."""

from __future__ import annotations

import pytest

from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest
from featurestore import plan as planning
from featurestore.definitions import Source
from featurestore.dtypes import parse_dtype
from featurestore.plan.nodes import (
    Facts,
    InForce,
    Latest,
    Output,
    ReadSource,
    StaticLookup,
    TrainingSet,
    Visible,
    Where,
    Window,
    measure_of,
    reach_of,
    walk,
)
from featurestore.registry import BoundRegistry, Registry

SCHEMA = {
    "customer_id": "int64", "shop": "string", "paid_at": "timestamp[us, UTC]", "loaded_at": "timestamp[us, UTC]",
    "payment_id": "int64", "gone": "bool", "amount": "double", "country": "string", "cents": "decimal128(9, 2)",
}  # fmt: skip
CUSTOMER = Entity(name="customer", join_keys=["customer_id"])


def bound(*features: object) -> BoundRegistry:
    registry = Registry.of([FeatureService(name="svc", features=list(features))])
    return registry.bind({s: {c: parse_dtype(t) for c, t in SCHEMA.items()} for s in registry.sources})


def plan_of(*features: object) -> TrainingSet:
    return planning.training_set(bound(*features).services["svc"])


def versions(**options: object) -> Source:
    return ParquetSource(
        name="payments", path="p", event_timestamp="paid_at", created_timestamp="loaded_at", row_key=["payment_id"],
        deleted="gone", **options,
    )  # fmt: skip


PAYMENTS = FeatureView(
    name="payments", entities=[CUSTOMER], source=versions(), where="amount > 0", ttl="90d",
    features=[latest("country"), agg.sum("amount", window=["1d", None]), agg.count(window="7d", offset="1d")],
)  # fmt: skip
SHOPS = FeatureView(
    name="shops", entities=[Entity(name="seat", join_keys=["customer_id", "shop"])], allow_exact_matches=True,
    source=ParquetSource(name="visits", path="p", event_timestamp="paid_at"),
    features=[latest("amount", name="last_amount")],
)  # fmt: skip
MASTER = FeatureView(
    name="master", entities=[CUSTOMER], source=ParquetSource(name="customers", path="p", static=True),
    features=[latest("country", name="home")], where="amount > 0",
)  # fmt: skip
RULES = FeatureView(
    name="rules", entities=[], source=ParquetSource(name="policies", path="p", event_timestamp="paid_at", delay="1h"),
    features=[latest("amount", name="rule")],
)  # fmt: skip


def test_a_view_has_one_part_per_kind_of_feature() -> None:
    plan = plan_of(PAYMENTS, SHOPS, MASTER)
    assert [(p.instance, type(p.part)) for p in plan.parts] == [
        ("payments", Latest),
        ("payments", Window),
        ("shops", Latest),
        ("master", StaticLookup),
    ]
    assert plan.columns == ("country", "amount_sum_1d", "amount_sum_lifetime", "count_7d_offset_1d", "last_amount", "home")


@pytest.mark.parametrize(
    "view, chain",
    [
        (PAYMENTS, [Latest, Visible, Where, InForce, Facts, ReadSource]),
        (SHOPS, [Latest, Visible, Facts, ReadSource]),
        (MASTER, [StaticLookup, ReadSource]),
    ],
)
def test_facts_go_through_versions_conditions_and_the_boundary(view: FeatureView, chain: list[type]) -> None:
    nodes = [type(n) for n in walk(plan_of(view).parts[0].part)]
    assert [n for n in nodes if n in chain] == chain


def test_a_boundary_is_the_views() -> None:
    exact = [n.exact for part in plan_of(PAYMENTS, SHOPS).parts for n in walk(part.part) if isinstance(n, Visible)]
    assert exact == [False, False, True]


def test_a_prefix_renames_the_answer_not_the_question() -> None:
    plan = plan_of(PAYMENTS[["country"]].with_prefix("p_").with_join_key_map({"customer_id": "payer"}))
    (part,) = plan.parts
    assert [o.name for o in part.part.outputs] == ["p_country"]
    assert [(k.name, k.source_column, k.spine_column) for k in part.part.spine.keys] == [
        ("customer_id", "customer_id", "payer")
    ]


def test_the_online_state_of_a_view_keeps_its_latest_values_and_its_windows_apart() -> None:
    state = planning.online_state(bound(PAYMENTS).views["payments"])
    assert [o.name for o in state.latest] == ["country"]
    assert [o.name for o in state.windows] == ["amount_sum_1d", "amount_sum_lifetime", "count_7d_offset_1d"]


DAY = 86_400_000_000


@pytest.mark.parametrize(
    "windows, reach",
    [([], 0), ([(DAY, 0)], DAY), ([(DAY, DAY), (DAY, 0)], 2 * DAY), ([(None, 0), (DAY, 0)], None)],
)
def test_how_far_back_windows_reach(windows: list[tuple[int | None, int]], reach: int | None) -> None:
    outputs = tuple(Output("x", parse_dtype("int64"), None, window=w, offset=o) for w, o in windows)
    assert reach_of(outputs) == reach


@pytest.mark.parametrize(
    "column, kind", [("float", "double"), ("int8", "int64"), ("uint64", "uint64"), ("decimal128(9, 2)", "decimal128(9, 2)")]
)
def test_what_an_aggregate_reads(column: str, kind: str) -> None:
    feature = agg.sum("x", window="1d")
    output = Output("x", parse_dtype("int64"), feature.expression, input_type=parse_dtype(column), aggregate="sum")
    assert measure_of(output).dtype.name == kind


EXPLAINED = """\
TrainingSet svc: the spine's rows and columns, then COLUMNS
  payments (view payments, fingerprint …)
    Latest: newest visible fact, at most 90d old -> country
      ReadSpine: customer_id, as_of
      Visible: max(event, known) strictly before as_of, and known before the cut-off
        Where: greater("amount", 0)
          InForce: of each payment_id the newest version known
            Facts: by customer_id, event paid_at, known loaded_at
              ReadSource payments: paid_at, loaded_at, payment_id, gone, customer_id, country, amount
  payments (view payments, fingerprint …)
    Window: WINDOWS
      ReadSpine: customer_id, as_of
      Visible: max(event, known) strictly before as_of, and known before the cut-off
        Where: greater("amount", 0)
          InForce: of each payment_id the newest version known
            Facts: by customer_id, event paid_at, known loaded_at
              ReadSource payments: paid_at, loaded_at, payment_id, gone, customer_id, country, amount
  shops (view shops, fingerprint …)
    Latest: newest visible fact, of any age -> last_amount
      ReadSpine: customer_id, shop, as_of
      Visible: max(event, known) at or before as_of, and known before the cut-off
        Facts: by customer_id, shop, event paid_at, known after 0s
          ReadSource visits: paid_at, customer_id, shop, amount
  master (view master, fingerprint …)
    StaticLookup: the one row of the key -> home
      ReadSpine: customer_id, as_of
      ReadSource customers: customer_id, country, amount
  rules (view rules, fingerprint …)
    Latest: newest visible fact, of any age -> rule
      ReadSpine: no key, as_of
      Visible: max(event, known) strictly before as_of, and known before the cut-off
        Facts: by no key, event paid_at, known after 1h
          ReadSource policies: paid_at, amount
trust: source customers is static, the same for every instant
trust: source visits is assumed known at once (declare created_timestamp or delay)
"""


COLUMNS = "country, amount_sum_1d, amount_sum_lifetime, count_7d_offset_1d, last_amount, home, rule"
WINDOWS = (
    'amount_sum_1d = sum("amount") over 1d; amount_sum_lifetime = sum("amount") over lifetime; '
    "count_7d_offset_1d = count() over 7d offset 1d"
)


def test_a_plan_in_words_of_all_three_kinds() -> None:
    found = bound(PAYMENTS, SHOPS, MASTER, RULES)
    text = planning.explain(planning.training_set(found.services["svc"]))
    for view in found.views.values():
        text = text.replace(view.fingerprint, "…")
    assert text == EXPLAINED.replace("COLUMNS", COLUMNS).replace("WINDOWS", WINDOWS)
