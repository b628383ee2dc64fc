"""The static proof: a plan in which a source goes round the boundary is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from featurestore import Entity, FeatureView, ParquetSource, agg, latest
from featurestore import plan as planning
from featurestore.dtypes import parse_dtype
from featurestore.errors import DefinitionError
from featurestore.expressions import parse
from featurestore.plan.leakage import assumed_known_at_once, prove, static_sources
from featurestore.plan.nodes import (
    Facts,
    InForce,
    Latest,
    OnlineState,
    PartOf,
    PlanKey,
    ReadSource,
    ReadSpine,
    StaticLookup,
    TrainingSet,
    TypedColumn,
    Visible,
    Where,
    Window,
)
from featurestore.registry import bind_view

KEY = PlanKey("id", "id", "id", parse_dtype("int64"))
SPINE = ReadSpine((KEY,))
TIMED = ParquetSource(name="timed", path="p", event_timestamp="e")
STATIC = ParquetSource(name="fixed", path="p", static=True)


def rows(source: ParquetSource = TIMED) -> ReadSource:
    return ReadSource(source, (TypedColumn("id", KEY.dtype),))


def facts(source: ParquetSource = TIMED) -> Facts:
    return Facts(rows(source), (KEY,), ())


def training_set(*parts: Any) -> TrainingSet:
    return TrainingSet("svc", tuple(PartOf("v", "v", "f", part) for part in parts), ())


def static(source: ParquetSource) -> StaticLookup:
    return StaticLookup(SPINE, rows(source), (KEY,), (), None, ())


HONEST = {
    "latest": Latest(SPINE, Visible(facts(), False), None, ()),
    "latest with exact matches": Latest(SPINE, Visible(facts(), True), None, ()),
    "window": Window(SPINE, Visible(Where(facts(), parse("a")), False), ()),
    "versions": Window(SPINE, Visible(InForce(facts(), ("id",), ()), False), ()),
    "a static source": static(STATIC),
}

LEAKING: dict[str, Any] = {
    "latest of all facts": Latest(SPINE, facts(), None, ()),  # type: ignore[arg-type]
    "latest of filtered facts": Latest(SPINE, Where(facts(), parse("a")), None, ()),  # type: ignore[arg-type]
    "latest of raw rows": Latest(SPINE, rows(), None, ()),  # type: ignore[arg-type]
    "window over versions": Window(SPINE, InForce(facts(), ("id",), ()), ()),  # type: ignore[arg-type]
    "a look-up in a source with history": static(TIMED),
    "a static source as if it had history": Latest(SPINE, facts(STATIC), None, ()),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("story", HONEST)
def test_an_honest_plan_is_proven(story: str) -> None:
    prove(training_set(HONEST[story]))


@pytest.mark.parametrize("story", LEAKING)
def test_a_leaking_plan_is_refused_naming_the_source(story: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        prove(training_set(HONEST["latest"], LEAKING[story]))
    assert caught.value.code == "FS221"
    assert "timed" in caught.value.what or "fixed" in caught.value.what
    assert "test_leakage.py" in caught.value.where


def test_the_online_state_is_held_to_the_same_proof() -> None:
    source = ParquetSource(name="s", path="p", event_timestamp="e", delay="0s")
    view = FeatureView(name="v", entities=[Entity(name="id")], source=source, features=[latest("a"), agg.count(window="1d")])
    types = {"id": "int64", "e": "timestamp", "a": "double"}
    state = planning.online_state(bind_view(view, {c: parse_dtype(t) for c, t in types.items()}))
    prove(state)
    assert isinstance(state, OnlineState)
    assert isinstance(state.facts, Visible)
    with pytest.raises(DefinitionError):
        prove(replace(state, facts=state.facts.facts))  # type: ignore[arg-type]


def test_what_the_reader_must_take_on_trust() -> None:
    declared = ParquetSource(name="declared", path="p", event_timestamp="e", delay="0s")
    plan = training_set(HONEST["latest"], static(STATIC), Window(SPINE, Visible(facts(declared), False), ()))
    assert static_sources(plan) == ["fixed"]
    assert assumed_known_at_once(plan) == ["timed"]
