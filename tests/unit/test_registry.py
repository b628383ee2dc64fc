"""The registry: what fits together, what a fingerprint takes in and what it leaves out, and the manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest
from featurestore.dtypes import parse_dtype
from featurestore.errors import DefinitionError, UnknownName
from featurestore.registry import BoundRegistry, Registry, bind_view

TYPES = {
    "e": "timestamp[us, UTC]", "k": "timestamp[us, UTC]", "day": "date32", "at": "int64", "text_at": "string",
    "id": "int64", "rev": "int64", "gone": "bool", "key": "int64", "key2": "string", "a": "double", "b": "int32", "s": "string",
    "unread": "string", "f": "double", "l": "list<int64>",
}  # fmt: skip

ENTITY: dict[str, Any] = {"name": "thing", "join_keys": ["key"]}
SOURCE: dict[str, Any] = {"name": "facts", "path": "facts.parquet", "event_timestamp": "e", "created_timestamp": "k",
                          "row_key": ["id"], "row_order": "rev", "deleted": "gone"}  # fmt: skip
FEATURES = [latest("a"), agg.sum("b", window="7d"), agg.count(window="1d", where="a > 1", name="large")]
VIEW: dict[str, Any] = {"name": "v", "where": "s = 'ok' and a > 0", "ttl": "30d", "features": FEATURES}


def view(entity: Mapping[str, Any] | None = None, source: Mapping[str, Any] | None = None, **options: Any) -> FeatureView:
    made = ParquetSource(**{**SOURCE, **(source or {})})
    return FeatureView(**{"entities": [Entity(**{**ENTITY, **(entity or {})})], "source": made, **VIEW, **options})


def schema(**changed: str | None) -> dict[str, Any]:
    return {c: parse_dtype(t) for c, t in {**TYPES, **changed}.items() if t is not None}


def fingerprint(made: FeatureView, **changed: str | None) -> str:
    return bind_view(made, schema(**changed)).fingerprint


def bound(*services: FeatureService) -> BoundRegistry:
    registry = Registry.of(services)
    return registry.bind({name: schema() for name in registry.sources})


IN = {
    "a join key's name": lambda: fingerprint(view({"join_keys": ["other"]}, join_key_map={"other": "key"})),
    "a join key's column": lambda: fingerprint(view(join_key_map={"key": "id"})),
    "a join key's type": lambda: fingerprint(view(), key="string"),
    "a join key more": lambda: fingerprint(view({"join_keys": ["key", "key2"]})),
    "the order of join keys": lambda: fingerprint(view({"join_keys": ["key2", "key"]})),
    "the event time": lambda: fingerprint(view(source={"event_timestamp": "k", "created_timestamp": "e"})),
    "the known time": lambda: fingerprint(view(source={"created_timestamp": None})),
    "the delay": lambda: fingerprint(view(source={"created_null": "event", "delay": "1h"})),
    "NULL known times": lambda: fingerprint(view(source={"created_null": "event"})),
    "the row key": lambda: fingerprint(view(source={"row_key": ["id", "key2"]})),
    "the order of versions": lambda: fingerprint(view(source={"row_order": None})),
    "the tombstone": lambda: fingerprint(view(source={"deleted": None})),
    "the zone": lambda: fingerprint(view(source={"timezone": "Europe/Paris"})),
    "the zone of one column": lambda: fingerprint(view(source={"timezone": {"k": "Europe/Paris"}})),
    "the unit of times": lambda: fingerprint(view(source={"time_unit": "s"})),
    "the format of times": lambda: fingerprint(view(source={"time_format": "iso8601"})),
    "what a date is": lambda: fingerprint(view(source={"date_is": "start"})),
    "the range of times": lambda: fingerprint(view(source={"time_range": ("2000-01-01T00:00:00Z", "2030-01-01T00:00:00Z")})),
    "the type of a time": lambda: fingerprint(view(), e="date32"),
    "the where": lambda: fingerprint(view(where="s = 'ok' and a > 1")),
    "no where": lambda: fingerprint(view(where=None)),
    "the ttl": lambda: fingerprint(view(ttl="31d")),
    "no ttl": lambda: fingerprint(view(ttl=None)),
    "the boundary": lambda: fingerprint(view(allow_exact_matches=True)),
    "the order of features": lambda: fingerprint(view(features=FEATURES[::-1])),
    "a feature more": lambda: fingerprint(view(features=[*FEATURES, latest("b")])),
    "a feature less": lambda: fingerprint(view(features=FEATURES[:2])),
    "a feature's name": lambda: fingerprint(view(features=[latest("a", name="x"), *FEATURES[1:]])),
    "a feature's expression": lambda: fingerprint(view(features=[latest("a + 0", name="a"), *FEATURES[1:]])),
    "a feature's type": lambda: fingerprint(view(), a="float"),
    "the type of what a feature reads": lambda: fingerprint(view(), b="int64"),
    "an aggregate": lambda: fingerprint(
        view(features=[FEATURES[0], agg.count("b", window="7d", name="b_sum_7d"), FEATURES[2]])
    ),
    "a window": lambda: fingerprint(view(features=[FEATURES[0], agg.sum("b", window="8d", name="b_sum_7d"), FEATURES[2]])),
    "a lifetime": lambda: fingerprint(view(features=[FEATURES[0], agg.sum("b", window=None, name="b_sum_7d"), FEATURES[2]])),
    "an offset": lambda: fingerprint(
        view(features=[FEATURES[0], agg.sum("b", window="7d", offset="1d", name="b_sum_7d"), FEATURES[2]])
    ),
    "an aggregate's where": lambda: fingerprint(
        view(features=[*FEATURES[:2], agg.count(window="1d", where="a > 2", name="large")])
    ),
}  # fmt: skip

OUT = {
    "the path": lambda: fingerprint(view(source={"path": ["elsewhere/*.parquet"]})),
    "the source's name": lambda: fingerprint(view(source={"name": "renamed"})),
    "the source's words": lambda: fingerprint(view(source={"description": "x", "owner": "y", "tags": {"a": "b"}})),
    "the entity's name": lambda: fingerprint(view({"name": "renamed"})),
    "the entity's words": lambda: fingerprint(view({"description": "x", "owner": "y", "tags": {"a": "b"}})),
    "the view's name": lambda: fingerprint(view(name="renamed")),
    "the view's words": lambda: fingerprint(view(description="x", owner="y", tags={"a": "b"})),
    "a feature's words": lambda: fingerprint(view(features=[latest("a", description="x"), *FEATURES[1:]])),
    "a column nobody reads": lambda: fingerprint(view(), unread="int64"),
    "an unread column that is gone": lambda: fingerprint(view(), unread=None),
    "pinning the types": lambda: fingerprint(view(source={"schema": TYPES})),
    "tolerating what is left out": lambda: fingerprint(view(source={"allow_left_out": True})),
    "keeping it offline": lambda: fingerprint(view(online=False)),
    "blanks and case of keywords": lambda: fingerprint(view(where="( s='ok' )\n AND   a>0")),
    "another spelling of a length": lambda: fingerprint(view(ttl="720h")),
    "another spelling of a window": lambda: fingerprint(
        view(features=[FEATURES[0], agg.sum("b", window="1w", name="b_sum_7d"), FEATURES[2]])
    ),
}


@pytest.mark.parametrize("what", IN)
def test_a_fingerprint_takes_in(what: str) -> None:
    assert IN[what]() != fingerprint(view())


@pytest.mark.parametrize("what", OUT)
def test_a_fingerprint_leaves_out(what: str) -> None:
    assert OUT[what]() == fingerprint(view())


def test_everything_taken_in_makes_a_difference_of_its_own() -> None:
    prints = [make() for make in IN.values()]
    assert len(set(prints)) == len(prints)


def test_static_is_taken_in() -> None:
    def of(**options: Any) -> str:
        source = ParquetSource(name="s", path="x", **options)
        return fingerprint(FeatureView(name="v", entities=[Entity(**ENTITY)], source=source, features=[latest("a")]))

    assert of(static=True) != of(event_timestamp="e")


def test_a_fingerprint_is_the_same_in_every_process_and_version() -> None:
    """Pinned: when this changes on purpose, every online store rebuilds. Raise SEMANTICS_VERSION only with meaning."""
    assert fingerprint(view()) == "ab210c6b8cd3be8d3eafb8511f5d4348"


@pytest.mark.parametrize(
    "one, other, same",
    [
        (lambda v: [v], lambda v: [v], True),
        (lambda v: [v], lambda v: [v[["large", "b_sum_7d", "a"]]], False),
        (lambda v: [v], lambda v: [v.with_prefix("p_")], False),
        (lambda v: [v], lambda v: [v.alias("w")], False),
        (lambda v: [v], lambda v: [v.with_join_key_map({"key": "other"})], False),
    ],
)
def test_a_services_fingerprint_is_its_instances(one: Any, other: Any, same: bool) -> None:
    prints = [bound(FeatureService(name="s", features=make(view()))).services["s"].fingerprint for make in (one, other)]
    assert (prints[0] == prints[1]) is same


def test_a_services_words_do_not_count_but_its_views_meaning_does() -> None:
    plain = bound(FeatureService(name="s", features=[view()])).services["s"].fingerprint
    assert bound(FeatureService(name="s", features=[view()], owner="x")).services["s"].fingerprint == plain
    assert bound(FeatureService(name="s", features=[view(ttl="1d")])).services["s"].fingerprint != plain


# Cross-checks.


ONE = ParquetSource(name="one", path="p", event_timestamp="e")
OF_ONE = FeatureView(name="v", source=ONE, features=[latest("a")])


@pytest.mark.parametrize(
    "kind, make",
    [
        ("entity", lambda: Entity(name="x")),
        ("source", lambda: ParquetSource(name="x", path="p", event_timestamp="e")),
        ("feature view", lambda: FeatureView(name="x", source=ONE, features=[latest("a")])),
        ("feature service", lambda: FeatureService(name="x", features=[OF_ONE])),
    ],
)
def test_two_of_one_kind_and_name_are_reported_with_both_places(kind: str, make: Any) -> None:
    one = make()
    other = make()
    with pytest.raises(DefinitionError) as caught:
        Registry.of([one, other])
    assert caught.value.code == "FS209"
    assert caught.value.what == f"two definitions of kind {kind} are named 'x'"
    assert caught.value.where == f"{one.location} and {other.location}"


def test_one_definition_reached_twice_is_one() -> None:
    mine = view()
    registry = Registry.of([mine, FeatureService(name="s", features=[mine]), mine.source, *mine.entities])
    assert [len(m) for m in (registry.entities, registry.sources, registry.views, registry.services)] == [1, 1, 1, 1]


def test_names_of_different_kinds_may_be_equal() -> None:
    mine = view({"name": "x"}, {"name": "x"}, name="x")
    assert Registry.of([FeatureService(name="x", features=[mine])]).views["x"] is mine


def test_all_that_is_reachable_is_collected_in_order_of_name() -> None:
    mine = view(name="z")
    other = FeatureView(**{**VIEW, "name": "y"}, entities=mine.entities, source=mine.source)
    registry = Registry.of([FeatureService(name="s", features=[mine, other.with_prefix("p_")])])
    assert list(registry.views) == ["y", "z"]
    assert list(registry.sources) == ["facts"]
    assert list(registry.entities) == ["thing"]


@pytest.mark.parametrize(
    "code, make",
    [
        ("FS203", lambda: fingerprint(view(where="nosuch"))),
        ("FS203", lambda: fingerprint(view(), key=None)),
        ("FS216", lambda: fingerprint(view(where="a + 1"))),
        ("FS216", lambda: fingerprint(view(features=[latest("a || s", name="x")]))),
        ("FS217", lambda: fingerprint(view(features=[agg.sum("s", window="1d")]))),
        ("FS219", lambda: fingerprint(view(), key="double")),
        ("FS219", lambda: fingerprint(view(join_key_map={"key": "l"}))),
        ("FS219", lambda: fingerprint(view(), gone="int64")),
        ("FS219", lambda: fingerprint(view(), e="int64")),
        ("FS219", lambda: fingerprint(view(), e="string")),
        ("FS219", lambda: fingerprint(view(), k="double")),
    ],
)
def test_what_does_not_fit_the_sources_types(code: str, make: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert caught.value.code == code
    assert "feature view 'v'" in caught.value.where


@pytest.mark.parametrize(
    "options, kind", [({"time_unit": "s"}, "int64"), ({"time_format": "iso8601"}, "string"), ({}, "date32")]
)
def test_times_of_other_types_need_their_reading(options: dict[str, Any], kind: str) -> None:
    assert fingerprint(view(source=options), e=kind, k=kind)


def _two(**changed: str) -> BoundRegistry:
    mine = view()
    other = FeatureView(
        name="w", entities=[Entity(name="other", join_keys=["key"])], features=[latest("b")],
        source=ParquetSource(name="others", path="o", event_timestamp="e"),
    )  # fmt: skip
    registry = Registry.of([FeatureService(name="s", features=[mine, other])])
    return registry.bind({"facts": schema(), "others": schema(**changed)})


@pytest.mark.parametrize("kind", ["int8", "uint64", "decimal128(20, 0)"])
def test_integers_of_any_width_are_one_key(kind: str) -> None:
    assert list(_two(key=kind).services["s"].key_columns) == ["key"]


@pytest.mark.parametrize("kind", ["string", "bool", "date32"])
def test_one_column_cannot_be_a_key_of_two_families(kind: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        _two(key=kind)
    assert caught.value.code == "FS220"
    assert "feature service 's'" in caught.value.where


@pytest.mark.parametrize("key", ["a", "A"])
def test_a_feature_named_like_a_key_is_refused_whatever_its_case(key: str) -> None:
    mine = view({"join_keys": [key]}, join_key_map={key: "key"})
    with pytest.raises(DefinitionError) as caught:
        bound(FeatureService(name="s", features=[mine]))
    assert caught.value.code == "FS207"


def test_an_unknown_name_has_its_nearest() -> None:
    found = bound(FeatureService(name="fraud_v1", features=[view()]))
    with pytest.raises(UnknownName) as caught:
        found.service("fraud_v2")
    assert (caught.value.code, caught.value.hint, caught.value.exit_code) == ("FS101", "fraud_v1", 2)
    with pytest.raises(UnknownName):
        found.registry.view("w")


def test_a_registry_cannot_be_changed() -> None:
    found = bound(FeatureService(name="s", features=[view()]))
    for mapping in (found.views, found.services, found.registry.views, found.registry.entities):
        with pytest.raises(TypeError):
            mapping["x"] = None  # type: ignore[index]


# The manifest.


def test_the_manifest_is_plain_json_without_places_or_clocks() -> None:
    services = FeatureService(name="s", features=[view(source={"path": "some/where/*.parquet"}, description="words")])
    manifest = bound(services).to_manifest()
    text = json.dumps(manifest)
    assert json.loads(text) == manifest
    assert not any(word in text for word in ("some/where", ".py", "words", "version"))
    assert manifest["format"] == 1
    assert manifest["views"]["v"]["fingerprint"] == fingerprint(view())


def test_the_manifest_says_what_a_server_needs() -> None:
    manifest = bound(FeatureService(name="s", features=[view().with_prefix("p_")])).to_manifest()
    assert manifest["sources"]["facts"]["a"] == "double"
    assert manifest["views"]["v"]["keys"] == [{"name": "key", "type": "int64", "family": "integer"}]
    assert manifest["views"]["v"]["ttl"] == 30 * 86_400_000_000
    assert [(f["name"], f["type"], f["aggregate"], f["window"]) for f in manifest["views"]["v"]["features"]] == [
        ("a", "double", None, None),
        ("b_sum_7d", "int64", "sum", 7 * 86_400_000_000),
        ("large", "int64", "count", 86_400_000_000),
    ]
    assert manifest["services"]["s"]["instances"] == [
        {
            "view": "v",
            "name": "p_v",
            "fingerprint": fingerprint(view()),
            "keys": [["key", "key"]],
            "features": [["p_a", "a"], ["p_b_sum_7d", "b_sum_7d"], ["p_large", "large"]],
        }
    ]
