"""Stories of what is told of runs, and of where values come from: short ones, for mutants to stumble over."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore import (
    ArrowSource,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    LabelView,
    OnDemandFeatureView,
    agg,
    atomic,
    expect,
    latest,
)
from featurestore import plan as planning
from featurestore.config import OpenLineage
from featurestore.errors import FeatureStoreError
from featurestore.openlineage.facets import error_message
from featurestore.openlineage.sending import Sender
from featurestore.plan.columns import column_lineage
from featurestore.plan.flow import Node
from featurestore.plan.lineage import lineage

UTC = pa.timestamp("us", "UTC")
C = Entity(name="c", join_keys=["c"])
TABLE = pa.table(
    {
        "id": pa.array([1], pa.int64()), "c": pa.array([1], pa.int64()), "e": pa.array([1], UTC), "k": pa.array([1], UTC),
        "x": pa.array([1.0]), "y": pa.array([1.0]), "z": pa.array(["a"]), "n": pa.array([1], pa.int64()),
        "gone": pa.array([False]),
    }
)  # fmt: skip


def _source(name: str, **options: Any) -> ArrowSource:
    return ArrowSource(name=name, table=TABLE, event_timestamp="e", **options)


def _told(store: FeatureStore, service: str) -> dict[str, str]:
    """Per feature its uses: `column how`, the spine's with a leading dot, one after the other."""
    told = {}
    for name, uses in lineage(planning.training_set(store.bound.services[service])).items():
        found = [f"{'.' if u.source is None else ''}{u.column} {u.how.lower()[:4]}{'!' if u.direct else ''}" for u in uses]
        told[name] = ", ".join(found)
    return told


def _a_feature_comes_from_what_its_plan_reads(folder: Path) -> None:
    rows = _source("rows", created_timestamp="k", expectations=[expect.between("n", 0, 9, action="quarantine")])
    view = FeatureView(
        name="v", entities=[C], source=rows, where="z = 'a'",
        features=[latest("x"), latest("x + 1", name="more"), agg.sum("y", window="1d", where="n > 1", name="s")],
    )  # fmt: skip
    asked = OnDemandFeatureView(name="o", inputs=[view], request={"r": "double"}, features={"q": "s * r"})
    store = FeatureStore(definitions=[FeatureService(name="f", features=[view, asked])])
    told = _told(store, "f")
    ties = "x sort, y sort, n sort"
    who = "c join, .c join, e sort, k filt, .as_of filt"
    assert told["x"] == f"x iden!, {who}, {ties}, z filt, n filt"
    assert told["more"] == f"x tran!, {who}, {ties}, z filt, n filt"
    window = "n cond, c join, .c join, e wind, k filt, .as_of wind, z filt, n filt"
    assert told["s"] == f"y aggr!, {window}"
    assert told["q"] == f"y aggr!, .r tran!, {window}"


def _versions_are_told_by_their_order(folder: Path) -> None:
    rows = _source("rows", created_timestamp="k", row_key=["id"], row_order="n", deleted="gone")
    view = FeatureView(name="v", entities=[C], source=rows, where="y > 0", features=[agg.count(window="1d")])
    store = FeatureStore(definitions=[FeatureService(name="f", features=[view])])
    told = _told(store, "f")["count_1d"]
    who = "c join, .c join, e wind, k filt, .as_of wind"
    assert told == f"{who}, id grou, gone filt, n sort, c sort, y sort, y filt"


def _an_instance_comes_by_its_own_keys_and_names(folder: Path) -> None:
    view = FeatureView(name="v", entities=[C], source=_source("rows", delay="0s"), features=[latest("x"), latest("y")])
    here, there = (view.with_join_key_map({"c": f"{way}c"}).with_prefix(way) for way in ("from_", "to_"))
    asked = OnDemandFeatureView(name="o", inputs=[here, there], request={"r": "double"}, features={"q": "to_x - r"})
    store = FeatureStore(definitions=[FeatureService(name="f", features=[here, asked])])
    found = column_lineage(store.bound.services["f"])
    row = {name: {c.column for c in columns if c.source is None} for name, columns in found.items()}
    assert row == {"from_x": {"from_c", "as_of"}, "from_y": {"from_c", "as_of"}, "q": {"to_c", "r", "as_of"}}
    whole = store.lineage()
    for name, columns in found.items():
        reached = whole.columns_of(Node("served", "f", name))
        assert {(n.group or None, n.name, role) for n, roles in reached.items() for role in roles} == set(columns)
    made_of = {str(e.end): str(e.start) for e in whole.edges if e.start.kind == "feature"}
    assert made_of == {"o.q": "v.x", "f.from_x": "v.x", "f.from_y": "v.y"}


def _a_label_is_settled(folder: Path) -> None:
    rows, most = _source("rows", created_timestamp="k"), agg.max("x", window="1d", name="m")
    label = LabelView(name="l", entities=[C], source=rows, label=most, settle="1d")
    view = FeatureView(name="v", entities=[C], source=_source("other", delay="1h"), features=[latest("y")])
    store = FeatureStore(definitions=[FeatureService(name="f", features=[view], labels=[label])])
    found = lineage(planning.training_set(store.bound.services["f"]))
    assert list(found) == ["y", "m"]
    assert {use.why for use in found["m"]} >= {"settled", "event time"}
    assert [use.column for use in found["y"] if use.why == "known time"] == []
    state = lineage(planning.online_state(store.bound.views["v"]))
    assert [use for uses in state.values() for use in uses if use.source is None] == []


def _runs_are_told_as_they_end(folder: Path) -> None:
    (folder / "featurestore.toml").write_text('[project]\nname = "p"\n[openlineage]\nfile = "told.jsonl"\n')
    (folder / "registry").mkdir()
    store = FeatureStore(folder)
    view = FeatureView(name="v", entities=[C], source=_source("rows", delay="0s"), features=[latest("x")])
    service = FeatureService(name="f", features=[view])
    spine = pa.table({"c": pa.array([1], pa.int64()), "as_of": pa.array([5], UTC)})

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    output = folder / "train.parquet"
    store.build_training_set(service, spine, output=output)
    for broken, error in (({"as_of": "nope"}, FeatureStoreError), ({"watch": stop}, KeyboardInterrupt)):
        try:
            store.build_training_set(service, spine, output=output, **broken)
        except error:
            continue
        raise AssertionError(f"{broken} went well")
    told = [json.loads(line) for line in (folder / "told.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in told] == ["START", "COMPLETE", "START", "FAIL", "START", "ABORT"]
    assert [event["run"]["runId"] for event in told[::2]] == [event["run"]["runId"] for event in told[1::2]]
    assert told[1]["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 1
    assert "columnLineage" not in told[3]["outputs"][0]["facets"], "nothing was written"


def _no_secret_is_told(folder: Path) -> None:
    for text in ("redis://me:secret@h/0", "host=h password=secret x=1", "https://h?token=secret&x=1"):
        assert "secret" not in error_message(FeatureStoreError("FS407", text))["message"]
    assert "secret" not in error_message(ValueError("secret"))["message"]


def _lost_events_are_counted(folder: Path) -> None:
    sender = Sender(OpenLineage(file="nowhere/told.jsonl"), folder)
    for number in range(3):
        sender.send(lambda number=number: {"n": number if number < 2 else object()})  # type: ignore[misc]
    assert sender.close().startswith("openlineage: 3 of 3 events were not taken: ")
    sender = Sender(OpenLineage(file="told.jsonl"), folder)
    sender.send(lambda: {"n": 1})
    assert sender.close() == ""
    assert (folder / "told.jsonl").read_text() == '{"n": 1}\n'


def _what_another_machine_writes_is_its_own(folder: Path) -> None:
    here = atomic.aside(folder / "a")
    pid, _, where = here.name.split(".")[2].partition("-")
    assert where, "two containers may each have a process of that number"
    theirs, dead = (folder / f".a.{pid}-00000000.partial", folder / f".a.{2**22 + 1}-{where}.partial")
    for path in (here, theirs, dead):
        path.touch()
    assert atomic.leftovers(folder / "a") == [dead]
    os.utime(theirs, (0, 0))
    assert set(atomic.leftovers(folder / "a")) == {dead, theirs}


TOLD: Mapping[str, Callable[[Path], None]] = {
    f"told-{story.__name__.strip('_')}": story
    for story in (
        _a_feature_comes_from_what_its_plan_reads,
        _versions_are_told_by_their_order,
        _an_instance_comes_by_its_own_keys_and_names,
        _a_label_is_settled,
        _runs_are_told_as_they_end,
        _no_secret_is_told,
        _lost_events_are_counted,
        _what_another_machine_writes_is_its_own,
    )
}
