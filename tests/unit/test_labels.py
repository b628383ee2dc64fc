"""Labels: what a label view may be, what knows of it and what does not, and what a build says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, LabelView, ParquetSource, agg, latest
from featurestore import plan as planning
from featurestore.compiler.files import compiled
from featurestore.dtypes import parse_dtype
from featurestore.errors import DefinitionError, RequestError, SourceError, UsageError
from featurestore.intervals import Duration, FixedClock
from featurestore.plan.leakage import prove
from featurestore.plan.nodes import LabelOf, PartOf, ReadSpine, Settled, TrainingSet, Visible, Window, facts_of
from featurestore.registry import BoundService, Registry
from featurestore.retrieval.labels import positive

UTC = pa.timestamp("us", "UTC")
DAY = 86_400_000_000
TYPES = {"id": "int64", "place": "string", "e": "timestamp[us, UTC]", "k": "timestamp[us, UTC]", "x": "double"}
CUSTOMER = Entity(name="customer", join_keys=["id"])
PLACE = Entity(name="place", join_keys=["place"])


def days(*numbers: float | None) -> pa.Array:
    return pa.array([None if n is None else round(n * DAY) for n in numbers], UTC)


# Of customer 1: 1.0 on day 1, 2.0 on day 3, 4.0 on day 5, known a day later each; the source is known up to day 11.
FACTS = pa.table(
    {
        "id": [1, 1, 1, 2],
        "place": ["a", "b", "a", "a"],
        "e": days(1, 3, 5, 10),
        "k": days(2, 4, 6, 11),
        "x": [1.0, 2.0, 4.0, 0.0],
    }
)


SOURCE = ArrowSource(name="facts", event_timestamp="e", created_timestamp="k", table=FACTS)


def facts(**options: Any) -> ArrowSource:
    """Another source of the same facts."""
    made = {"name": "others", "event_timestamp": "e", "created_timestamp": "k", "table": FACTS}
    return ArrowSource(**{**made, **options})


def view(**options: Any) -> FeatureView:
    features = [latest("x"), agg.count(window=None, name="n")]
    return FeatureView(**{"name": "v", "entities": [CUSTOMER], "source": SOURCE, "features": features, **options})


def label(**options: Any) -> LabelView:
    made = {"name": "l", "entities": [CUSTOMER], "source": SOURCE, "settle": "0s"}
    return LabelView(**{**made, "label": agg.sum("x", window="4d", name="y"), **options})


def service(*labels: Any, features: Any = None, **options: Any) -> FeatureService:
    return FeatureService(name="svc", features=features or [view()], labels=list(labels), **options)


def bound(made: FeatureService) -> BoundService:
    types = {c: parse_dtype(t) for c, t in TYPES.items()}
    registry = Registry.of([made])
    return registry.bind(dict.fromkeys(registry.sources, types)).services["svc"]


# Definitions.


def test_a_label_view_is_a_frozen_value_that_says_how_far_it_looks() -> None:
    made = label(gap="1d", settle="2d")
    assert (made.gap, made.window, made.settle) == (Duration(DAY), Duration(4 * DAY), Duration(2 * DAY))
    assert (made.reach, made.horizon) == (5 * DAY, 7 * DAY)
    assert [f.name for f in made.features] == ["y"]
    assert made.columns == ("e", "k", "id", "x")
    assert made.kind == "label view"
    with pytest.raises(AttributeError):
        made.gap = Duration(0)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ({"created_timestamp": None, "delay": "3h"}, Duration(DAY // 8)),
        ({"created_timestamp": None}, Duration(0)),
    ],
    ids=["a delay", "known at once"],
)
def test_settle_is_the_delay_of_the_source(source: Any, wanted: Duration) -> None:
    assert label(settle=None, source=facts(**source)).settle == wanted


REFUSED = {
    "nothing to predict": ("FS230", lambda: label(label=None)),
    "a column's name": ("FS230", lambda: label(label="x")),
    "a latest value": ("FS230", lambda: label(label=latest("x"))),
    "several windows": ("FS230", lambda: label(label=agg.sum("x", window=["1d", "2d"]))),
    "one window in a list": ("FS230", lambda: label(label=agg.sum("x", window=["1d"]))),
    "a lifetime": ("FS230", lambda: label(label=agg.sum("x", window=None))),
    "an offset": ("FS230", lambda: label(label=agg.sum("x", window="1d", offset="1d"))),
    "time since the last fact": ("FS230", lambda: label(label=agg.time_since_last(window="1d"))),
    "time since the first fact": ("FS230", lambda: label(label=agg.time_since_first("x", window="1d"))),
    "half of all time": ("FS230", lambda: label(gap="9000000d", settle="9000000d")),
    "no settle beside a created timestamp": ("FS204", lambda: label(settle=None)),
    "no settle where an event time may stand in": (
        "FS204",
        lambda: label(settle=None, source=facts(created_null="event", delay="1h")),
    ),
    "a static source": (
        "FS204",
        lambda: label(source=ArrowSource(name="fixed", table=FACTS, static=True)),
    ),
    "a negative gap": ("FS211", lambda: label(gap="-1d")),
    "a gap in months": ("FS211", lambda: label(gap="1 month")),
    "a settle without unit": ("FS211", lambda: label(settle="30")),
    "no source": ("FS202", lambda: label(source="facts")),
    "no entity": ("FS202", lambda: label(entities="customer")),
    "a join key nobody has": ("FS203", lambda: label(join_key_map={"idd": "id"})),
    "a condition that reads the clock": ("FS215", lambda: label(where="e < now()")),
    "a label among the features": ("FS231", lambda: service(features=[view(), label()])),
    "an instance of a label among the features": ("FS231", lambda: service(features=[label().with_prefix("p_")])),
    "a feature view among the labels": ("FS231", lambda: service(view())),
    "a list that is none": ("FS202", lambda: FeatureService(name="svc", features=[view()], labels=label())),
    "an aggregate instead of its view": ("FS202", lambda: service(agg.count(window="1d"))),
    "labels alone": ("FS202", lambda: FeatureService(name="svc", features=[], labels=[label()])),
    "one label twice": ("FS207", lambda: service(label(), label())),
    "a label with a feature's name": ("FS207", lambda: service(label(label=agg.count(window="1d", name="n")))),
    "a label view with a feature view's name": ("FS207", lambda: service(label(name="v"))),
    "a label view with the name of a view elsewhere": ("FS209", lambda: Registry.of([service(), label(name="v")])),
    "a label with a key's name": ("FS207", lambda: bound(service(label(label=agg.count(window="1d", name="id"))))),
    "a column the source lacks": ("FS203", lambda: bound(service(label(where="colour = 'red'")))),
    "a sum of text": ("FS217", lambda: bound(service(label(label=agg.sum("place", window="1d", name="y"))))),
    "one spine column as a key of two types": (
        "FS220",
        lambda: bound(service(label(entities=[PLACE]).with_join_key_map({"place": "id"}))),
    ),
}


@pytest.mark.parametrize("story", REFUSED)
def test_what_cannot_be_a_label_is_a_definition_error_that_says_what_to_try(story: str) -> None:
    code, make = REFUSED[story]
    with pytest.raises(DefinitionError) as caught:
        make()
    assert caught.value.code == code, str(caught.value)
    assert caught.value.exit_code == 3
    assert "test_labels.py" in caught.value.where, str(caught.value)
    assert caught.value.hint or caught.value.known or code in ("FS204", "FS215", "FS208"), str(caught.value)


# What knows of labels, and what does not.


def test_what_a_service_serves_does_not_depend_on_labels() -> None:
    without, with_label = bound(service()), bound(service(label(entities=[PLACE])))
    assert with_label.fingerprint == without.fingerprint
    assert with_label.to_manifest() == without.to_manifest()
    assert list(with_label.key_columns) == ["id"]
    assert list(with_label.spine_keys) == ["id", "place"]
    assert dict(with_label.feature_types) == dict(without.feature_types)
    assert {n: str(t) for n, t in with_label.label_types.items()} == {"y": "double"}


CHANGES = {
    "the gap": {"gap": "1d"},
    "the window": {"label": agg.sum("x", window="5d", name="y")},
    "settle": {"settle": "1d"},
    "the aggregate": {"label": agg.max("x", window="4d", name="y")},
    "the name": {"label": agg.sum("x", window="4d", name="z")},
    "the condition": {"where": "x > 0"},
    "the keys": {"entities": [PLACE]},
    "the source": {"source": facts(created_timestamp=None, delay="1d")},
}


@pytest.mark.parametrize("story", CHANGES)
def test_a_label_has_a_fingerprint_of_its_own(story: str) -> None:
    (before,), (after,) = bound(service(label())).labels, bound(service(label(**CHANGES[story]))).labels
    assert before.bound.fingerprint != after.bound.fingerprint
    (same,) = bound(service(label(description="words", owner="me", tags={"a": "b"}, gap="0s"))).labels
    assert same.bound.fingerprint == before.bound.fingerprint


def test_the_compiled_manifest_lists_labels_and_the_types_of_their_sources() -> None:
    other = ParquetSource(name="other", path="o", event_timestamp="e", delay="0s", schema=TYPES)
    source = ParquetSource(name="facts", path="f", event_timestamp="e", created_timestamp="k", schema=TYPES)
    made = service(label(source=other).with_prefix("their_"), features=[view(source=source)])
    store = FeatureStore(definitions=[made])
    files = compiled(store.bound)
    manifest = json.loads(files["manifest.json"])
    assert sorted(manifest["sources"]) == ["facts", "other"]
    assert list(manifest["views"]) == ["v"]
    assert list(manifest["labels"]) == ["l"]
    (told,) = manifest["services"]["svc"]["labels"]
    assert told["fingerprint"] == manifest["labels"]["l"]["fingerprint"]
    assert (told["view"], told["name"], told["features"], told["exact"]) == ("l", "their_l", [["their_y", "y"]], False)
    assert "as_of + 4d" in files["plan/svc.txt"]
    assert "-- their_l: asked 4d after as_of" in files["duckdb/training_set/svc.sql"]
    assert "latest/l.sql" not in " ".join(files)


def test_the_online_store_knows_no_labels() -> None:
    store = FeatureStore(definitions=[service(label(entities=[PLACE]))], clock=FixedClock(20 * DAY))
    assert [report.view for report in store.materialize()] == ["v"]
    found = store.get_online_features("svc", {"id": [1]})
    assert found.feature_names == ("x", "n")
    with pytest.raises(RequestError):
        store.get_online_features("svc", {"id": [1], "place": ["a"]})
    with pytest.raises(UsageError):
        store.materialize(["l"])
    without = FeatureStore(definitions=[service()], clock=FixedClock(20 * DAY))
    without.materialize()
    assert stored(store) == stored(without)


def stored(store: FeatureStore) -> dict[str, bytes]:
    """All that the online store says of itself."""
    with store.online.read() as snapshot:
        return dict(snapshot.metas())


# The proof.


def plan(*labels: LabelView, **options: Any) -> TrainingSet:
    return planning.training_set(bound(service(*labels, features=[view(**options)])))


def refused(made: TrainingSet) -> str:
    with pytest.raises(DefinitionError) as caught:
        prove(made)
    assert caught.value.code == "FS221"
    return caught.value.what


def test_a_plan_that_wires_a_label_into_the_features_is_refused() -> None:
    honest = plan(label(gap="1d"))
    prove(honest)
    (made,) = honest.labels
    wired = PartOf("l", "l", "f", made.part)
    assert "as only a label may" in refused(replace(honest, parts=(*honest.parts, wired)))
    assert "as only a label may" in refused(replace(honest, parts=(*honest.parts, made)))  # type: ignore[arg-type]


def test_a_feature_that_is_settled_or_asks_ahead_is_refused() -> None:
    honest = plan()
    part = next(p for p in honest.parts if isinstance(p.part, Window))
    assert isinstance(part.part, Window)
    settled = replace(part.part, facts=Settled(part.part.facts.facts, False))
    ahead = replace(part.part, spine=replace(part.part.spine, ahead=1))
    for made in (settled, ahead):
        assert "as only a label may" in refused(replace(honest, parts=(replace(part, part=made),)))


def test_a_label_that_sees_what_a_feature_sees_is_refused() -> None:
    honest = plan(label(gap="1d"))
    (made,) = honest.labels
    window = made.part
    (output,) = window.outputs

    def with_part(**changes: Any) -> TrainingSet:
        return replace(honest, labels=(replace(made, part=replace(window, **changes)),))

    assert "otherwise than settled" in refused(with_part(facts=Visible(window.facts.facts, False)))
    assert "before the row's own instant" in refused(with_part(spine=replace(window.spine, ahead=4 * DAY - 1)))
    assert "before the row's own instant" in refused(with_part(outputs=(replace(output, window=None),)))
    assert "before the row's own instant" in refused(with_part(outputs=(replace(output, offset=DAY + 1),)))
    prove(with_part(spine=replace(window.spine, ahead=4 * DAY)))


def test_a_label_that_shares_t_with_a_feature_is_refused() -> None:
    honest = plan(label(), allow_exact_matches=True)
    (made,) = honest.labels
    assert made.part.facts.exact
    strict = replace(made, part=replace(made.part, facts=replace(made.part.facts, exact=False)))
    assert "both feature and label" in refused(replace(honest, labels=(strict,)))


def test_a_label_is_asked_at_the_end_of_its_window_and_no_versions_are_left() -> None:
    source = facts(row_key=["id"])
    (made,) = plan(label(source=source, gap="1d", settle="2d")).labels
    assert isinstance(made, LabelOf)
    assert (made.part.spine.ahead, made.horizon) == (5 * DAY, 7 * DAY)
    assert isinstance(made.part.spine, ReadSpine)
    assert facts_of(made.part.facts)[1] is None


# Builds.


def built(made: FeatureService, asked: pa.Table, **options: Any) -> tuple[pa.Table, Any]:
    reports: list[Any] = []
    table = FeatureStore(definitions=[made]).build_training_set(made.name, asked, report=reports.append, **options)
    return table, reports[0]


SPINE = pa.table({"id": [1, 1, 2, None], "as_of": days(1, 7, 7.5, 2)})


def test_labels_come_after_all_features_and_are_counted_per_label_view() -> None:
    made = service(label(), label(name="l2", label=agg.count(window="1d", name="any_at_all"), settle="3d"))
    table, report = built(made, SPINE, include=("status", "event_timestamp"))
    assert table.column_names[:6] == ["id", "as_of", "x", "n", "y", "any_at_all"]
    assert table.column_names[6:] == [
        f"{name}__{what}" for what in ("status", "event_timestamp") for name in ("x", "n", "y", "any_at_all")
    ]
    assert table["y"].to_pylist() == [3.0, None, None, None]
    assert table["y__status"].to_pylist() == ["present", "null", "null", "null"]
    assert table["y__event_timestamp"].null_count == 4
    assert table["any_at_all"].to_pylist() == [1, 0, None, 0]
    assert report.labels["l"] == {
        "column": "y", "greatest_known": "1970-01-12T00:00:00.000000Z", "mature_until": "1970-01-08T00:00:00.000000Z",
        "mature": 3, "immature": 1, "positive": 1,
    }  # fmt: skip
    counted = report.labels["l2"]
    assert (counted["mature"], counted["immature"], counted["positive"]) == (3, 1, 1)
    assert list(report.features) == ["x", "n"]


def test_labels_are_masked_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurestore.retrieval.spine.ROWS_AT_ONCE", 3)
    monkeypatch.setattr("featurestore.retrieval.training_set.ROWS_AT_ONCE", 2)
    instants = [day / 2 for day in range(20)]
    asked = pa.table({"id": [1] * 20, "as_of": days(*instants)})
    table, report = built(service(label(label=agg.count(window="4d", name="y"))), asked)
    events = (1, 3, 5)
    wanted = [sum(t <= e < t + 4 for e in events) if t + 4 <= 11 else None for t in instants]
    assert table["y"].to_pylist() == wanted
    assert report.labels["l"]["immature"] == wanted.count(None) == 5


@pytest.mark.parametrize("kind", ["list<double>", "map<string, int64>", "decimal128(38, 2)", "timestamp[us, UTC]"])
def test_an_immature_label_of_any_type_is_null(kind: str) -> None:
    of = {
        "list<double>": agg.first_k("x", 2, window="4d", name="y"),
        "map<string, int64>": agg.histogram("place", window="4d", name="y"),
        "decimal128(38, 2)": agg.sum("d", window="4d", name="y"),
        "timestamp[us, UTC]": agg.min("e", window="4d", name="y"),
    }
    amounts = pa.array([Decimal("1.00"), Decimal("2.50"), Decimal("4.00"), Decimal("0.00")], pa.decimal128(12, 2))
    source = facts(table=FACTS.append_column("d", amounts))
    table, report = built(service(label(source=source, label=of[kind]), features=[view(source=source)]), SPINE)
    values = table["y"].to_pylist()
    assert str(table.schema.field("y").type) == str(parse_dtype(kind).arrow)
    assert values[0] is not None
    assert values[2] is None
    assert report.labels["l"]["positive"] == sum(v is not None and v != 0 for v in values)


def test_the_manifest_tells_what_a_label_means_and_what_was_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("facts", "later"):
        pq.write_table(FACTS, f"{name}.parquet")
    source = ParquetSource(name="facts", path="facts.parquet", event_timestamp="e", created_timestamp="k")
    later = ParquetSource(name="later", path="later.parquet", event_timestamp="e", delay="1d")
    made = service(label(source=later, gap="1d", settle=None), features=[view(source=source, allow_exact_matches=True)])
    store = FeatureStore(definitions=[made])
    store.build_training_set("svc", SPINE, output="set.parquet", known_before="1970-01-07T00:00:00Z")
    manifest = json.loads(Path("set.parquet.manifest.json").read_text())
    told = manifest["labels"]["l"]
    (own,) = store.bound.services["svc"].labels
    assert told["fingerprint"] == own.bound.fingerprint
    assert (told["gap_us"], told["window_us"], told["settle_us"], told["exact"]) == (DAY, 4 * DAY, DAY, True)
    assert (told["mature"], told["immature"], told["mature_until"]) == (0, 4, "1970-01-01T00:00:00.000000Z")
    assert sorted(manifest["sources"]) == ["facts", "later"]
    assert manifest["source_rows"] == {"facts": 4, "later": 4}
    assert manifest["label"] is None


def test_a_label_of_the_spine_and_one_of_a_label_view_go_together() -> None:
    asked = SPINE.append_column("given", pa.array([True, None, False, None]))
    _, report = built(service(label()), asked, label="given")
    assert report.label == {"column": "given", "present": 2, "null": 2}
    assert report.labels["l"]["mature"] == 3
    with pytest.raises(UsageError) as caught:
        built(service(label()), SPINE, label="y")
    assert (caught.value.code, caught.value.hint) == ("FS110", "leave --label away")


def test_keys_of_labels_alone_are_read_from_csv_with_their_types(tmp_path: Path) -> None:
    spine = tmp_path / "spine.csv"
    spine.write_text("id,other,as_of\n2,01,1970-01-02T00:00:00Z\n2,2,1970-01-02T00:00:00Z\n")
    made = service(label().with_join_key_map({"id": "other"}))
    table, _ = built(made, str(spine))
    assert table["other"].to_pylist() == [1, 2]
    assert table["y"].to_pylist() == [3.0, None]
    with pytest.raises(UsageError) as caught:
        built(made, str(spine), label="other")
    assert caught.value.code == "FS110"


def test_a_file_of_a_label_that_changes_meanwhile_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(FACTS, "later.parquet")
    later = ParquetSource(name="later", path="later.parquet", event_timestamp="e", delay="1d")

    def rewritten(progress: Any) -> None:
        if progress.stage == "joining":
            pq.write_table(FACTS.slice(1), "later.parquet")

    with pytest.raises(SourceError) as caught:
        built(service(label(source=later)), SPINE, watch=rewritten)
    assert caught.value.code == "FS326"


def test_a_source_that_is_not_read_right_for_a_label_stops_the_build() -> None:
    broken = FACTS.set_column(2, "e", days(None, None, None, 1))
    with pytest.raises(SourceError) as caught:
        built(service(label(source=facts(name="broken", table=broken))), SPINE)
    assert (caught.value.code, "view 'l'" in caught.value.what) == ("FS327", True)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([True, False, None]), 1),
        (pa.array([1, 0, -1, None]), 1),
        (pa.array([0.5, 0.0, -0.0, -1.0, float("nan"), float("inf"), None]), 3),
        (pa.array([1, 0, None], pa.uint64()), 1),
        (pa.array(["0.01", "0.00", "-1.00", None]).cast(pa.decimal128(9, 2)), 1),
        (pa.array(["", "no", None]), 2),
        (pa.array([0, None]).cast(UTC), 1),
        (pa.array([[], [0], None]), 2),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_positive_is_true_or_above_zero_or_any_other_value(values: pa.Array, wanted: int) -> None:
    assert pa.compute.sum(positive(pa.chunked_array([values])), min_count=0).as_py() == wanted
