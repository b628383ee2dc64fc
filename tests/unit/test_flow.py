"""What is upstream and downstream of a name, by which roles, and how it is drawn."""

from __future__ import annotations

from xml.etree import ElementTree

import pyarrow as pa
import pytest

from featurestore import (
    ArrowSource,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    LabelView,
    OnDemandFeatureView,
    agg,
    latest,
)
from featurestore.errors import FeatureStoreError
from featurestore.pictures.flow import MOST_BOXES, picture
from featurestore.plan.columns import ROLES, column_lineage, to_data, view_lineage
from featurestore.plan.flow import Flow, Node
from featurestore.plan.lineage import WHYS

UTC = pa.timestamp("us", "UTC")
SPOT, ORDER = Entity(name="spot", join_keys=["spot"]), Entity(name="order", join_keys=["order"])
TABLE = pa.table(
    {
        "spot": pa.array([1], pa.int64()), "order": pa.array([1], pa.int64()), "e": pa.array([1], UTC),
        "k": pa.array([1], UTC), "temp": pa.array([1.0]), "rain": pa.array([1.0]), "kind": pa.array(["a"]),
        "unread": pa.array([1.0]),
    }
)  # fmt: skip
WEATHER = ArrowSource(name="weather", table=TABLE, event_timestamp="e", created_timestamp="k")
ORDERS = ArrowSource(name="orders", table=TABLE, event_timestamp="e", delay="0s")
SKY = FeatureView(
    name="sky", entities=[SPOT], source=WEATHER, where="kind = 'a'",
    features=[latest("temp"), agg.sum("rain", window="1d", name="wet")],
)  # fmt: skip
TRADE = FeatureView(name="trade", entities=[ORDER], source=ORDERS, features=[latest("rain", name="last"), latest("temp")])
GAP = OnDemandFeatureView(
    name="gap",
    inputs=[SKY.with_join_key_map({"spot": "from_spot"}).with_prefix("from_"),
            SKY.with_join_key_map({"spot": "to_spot"}).with_prefix("to_")],
    request={"asked": "double"},
    features={"warmer": "to_temp - from_temp", "wetter": "to_wet * asked", "early": "hour(as_of)"},
)  # fmt: skip
PAID = LabelView(name="paid", entities=[ORDER], source=ORDERS, label=agg.sum("temp", window="1d", name="paid"), settle="1d")
MODEL = FeatureService(
    name="model", features=[SKY.with_join_key_map({"spot": "from_spot"}).with_prefix("from_")[["temp"]], TRADE[["last"]], GAP],
    labels=[PAID],
)  # fmt: skip
STORE = FeatureStore(definitions=[MODEL])


@pytest.fixture(scope="module")
def whole() -> Flow:
    return STORE.lineage()


def test_every_reason_has_a_role_and_every_role_is_told():
    assert set(WHYS.values()) | {"value", "request"} == set(ROLES)


def test_an_on_demand_feature_comes_from_the_instances_it_reads_and_from_the_request():
    found = to_data(column_lineage(STORE.bound_service("model")))
    assert list(found) == ["from_temp", "last", "warmer", "wetter", "early", "paid"]
    assert found["early"] == [{"source": None, "column": "as_of", "roles": ["as_of"]}]
    roles = {(c["source"], c["column"]): c["roles"] for c in found["wetter"]}
    assert roles == {
        ("weather", "rain"): ["value"], (None, "asked"): ["request"], ("weather", "kind"): ["where"],
        ("weather", "spot"): ["key"], (None, "to_spot"): ["key"], ("weather", "e"): ["time"], ("weather", "k"): ["known"],
        (None, "as_of"): ["as_of"],
    }  # fmt: skip
    both = {(c["source"], c["column"]) for c in found["warmer"]}
    assert both >= {(None, "from_spot"), (None, "to_spot")}
    assert (None, "to_spot") not in {(c["source"], c["column"]) for c in found["from_temp"]}
    assert {(c["source"], c["column"]): c["roles"] for c in found["from_temp"]}["weather", "rain"] == ["tie"]


def test_a_label_comes_from_settled_facts_of_its_own_source():
    found = view_lineage(STORE.bound.labels["paid"])["paid"]
    assert {(c.source, c.column, c.role) for c in found} == {
        ("orders", "temp", "value"), ("orders", "order", "key"), ("orders", "e", "time"),
    }  # fmt: skip


def test_the_flow_through_definitions_ends_where_the_plans_say(whole: Flow):
    for name, columns in column_lineage(STORE.bound_service("model")).items():
        found = {
            (node.group or None, node.name, role)
            for node, roles in whole.columns_of(Node("served", "model", name)).items()
            for role in roles
        }
        assert found == {tuple(c) for c in columns}, name


def test_downstream_of_a_column_by_what_it_is(whole: Flow):
    reached = {str(n): roles for n, roles in whole.reached_from(Node("column", "weather", "rain")).items()}
    assert reached["sky.temp"] == ("tie",)
    assert reached["gap.warmer"] == ("tie",)
    assert reached["gap.wetter"] == ("value",)
    assert reached["model.wetter"] == ("value",)
    assert "trade.last" not in reached
    assert whole.reached_from(Node("column", "weather", "unread")) == {}


@pytest.mark.parametrize(
    "name, kind, found",
    [
        ("sky.temp", None, ("feature", ["sky.temp"])),
        ("wet", None, ("feature", ["sky.wet"])),
        ("warmer", None, ("on_demand", ["gap.warmer"])),
        ("from_temp", None, ("served", ["model.from_temp"])),
        ("model.last", None, ("served", ["model.last"])),
        ("orders.temp", None, ("column", ["orders.temp"])),
        ("trade", None, ("view", ["trade.last", "trade.temp"])),
        ("gap", None, ("on_demand_view", ["gap.warmer", "gap.wetter", "gap.early"])),
        ("paid.paid", None, ("label", ["paid.paid"])),
        ("paid", "label_view", ("label_view", ["paid.paid"])),
    ],
)
def test_a_name_is_found(whole: Flow, name, kind, found):
    what, nodes = whole.find(name, kind)
    assert (what, [str(node) for node in nodes]) == found


def test_a_source_that_no_view_reads_is_found_too():
    whole = Flow((), (), (("source", "lonely"),))
    assert whole.find("lonely") == ("source", ())


def test_names_that_mean_nothing_or_too_much(whole: Flow):
    with pytest.raises(FeatureStoreError) as nothing:
        whole.find("sky.wett")
    assert (nothing.value.code, nothing.value.hint) == ("FS170", "sky.wet")
    with pytest.raises(FeatureStoreError) as column:
        whole.find("unread")
    assert (column.value.code, column.value.hint) == ("FS170", "orders.unread")
    with pytest.raises(FeatureStoreError) as several:
        whole.find("temp")
    assert (several.value.code, several.value.hint) == ("FS171", "sky.temp")
    with pytest.raises(FeatureStoreError) as kinds:
        whole.find("paid")
    assert (kinds.value.code, kinds.value.hint) == ("FS171", "--kind label")


def test_what_lies_around_a_feature_is_neither_less_nor_more(whole: Flow):
    around = whole.around([Node("feature", "trade", "last")])
    assert {str(n) for n in around.nodes} == {
        "orders.order", "orders.e", "orders.temp", "orders.rain", "trade.last", "model.last"
    }  # fmt: skip
    assert Flow.of_data(around.to_data()) == around


def test_a_picture_is_well_formed_and_names_what_it_shows(whole: Flow):
    drawn = picture(whole.to_data(), title="a < b", link=lambda kind, group, name: f"/{kind}/{group}/{name}")
    root = ElementTree.fromstring(drawn)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"weather", "rain", "sky", "wet", "gap", "model"} <= set(texts)
    assert root.find("{http://www.w3.org/2000/svg}title").text == "a < b"  # type: ignore[union-attr]
    assert 'href="/feature/sky/wet"' in drawn
    assert ElementTree.fromstring(picture({"nodes": [], "edges": []})).attrib["role"] == "img"


def test_names_cannot_break_a_picture():
    name = "\x07<script>&'\"\u202e\ud83d"
    drawn = picture({"nodes": [{"kind": "column", "group": name, "name": name}], "edges": []}, title=name)
    assert "<script" not in drawn
    ElementTree.fromstring(drawn.encode())


def test_a_picture_of_very_much_is_drawn_by_groups_and_stays_small():
    nodes = [
        {"kind": kind, "group": f"g{n % 100}", "name": f"{kind}_{n}"} for kind in ("column", "feature") for n in range(2000)
    ]
    edges = [{"from": n, "to": 2000 + n, "roles": ["tie"]} for n in range(2000)]
    drawn = picture({"nodes": nodes, "edges": edges})
    assert len(drawn) < 60_000
    assert "g0 (20)" in drawn
    assert f"{2 * (100 - MOST_BOXES)} boxes are left out" in drawn
