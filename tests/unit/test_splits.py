"""Splits: every row's part as one row after the other would have it, no leak between parts, and the same for any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, LabelView, Split, agg, latest
from featurestore.errors import SpineError, UsageError
from featurestore.registry import BoundService
from featurestore.retrieval.spine import open_spine
from featurestore.retrieval.splits import PARTS, Parts

UTC = pa.timestamp("us", "UTC")
FACTS = pa.table({"k": [1], "m": ["a"], "e": pa.array([0], UTC), "x": [1.0]})


@lru_cache
def service(gap: int = 0, window: int | None = None, *, exact: bool = False) -> BoundService:
    """A service over two keys, with a label of `window` microseconds after a gap."""
    source = ArrowSource(name="facts", event_timestamp="e", delay="0s", table=FACTS)
    entities = [Entity(name="k"), Entity(name="m")]
    view = FeatureView(name="v", entities=entities, source=source, features=[latest("x")], allow_exact_matches=exact)
    labels = []
    if window is not None:
        label = agg.count(window=f"{window}us", name="n")
        labels = [LabelView(name="l", entities=entities, source=source, label=label, gap=f"{gap}us", settle="90us")]
    return FeatureStore(definitions=[FeatureService(name="svc", features=[view], labels=labels)]).bound_service("svc")


@dataclass(frozen=True)
class Row:
    at: int
    k: int | None = 1
    m: str | None = "a"


def split(given: Split, rows: Sequence[Row], bound: BoundService | None = None, **more: Any) -> list[str]:
    """The part of each row."""
    return parts(given, rows, bound, **more).column.to_pylist()  # type: ignore[no-any-return]


def parts(given: Split, rows: Sequence[Row], bound: BoundService | None = None, kind: pa.DataType | None = None) -> Parts:
    at = pa.array([r.at for r in rows], pa.int64())
    table = pa.table({"k": pa.array([r.k for r in rows], kind or pa.int64()), "m": pa.array([r.m for r in rows], pa.string()),
                      "as_of": at.cast(UTC)})  # fmt: skip
    return Parts(given, bound or service(), open_spine(table, keys={}, as_of="as_of"), at)


ROWS = st.lists(st.builds(Row, st.integers(0, 60), st.sampled_from([1, 2, 3, None]), st.sampled_from(["a", "b", None])),
                max_size=25)  # fmt: skip


# By time.

TIMES = st.builds(
    lambda test, before, embargo, window, by: Split.time(
        test_from=test, validation_from=None if before is None else test - before, embargo=f"{embargo}us",
        label_window=None if window is None else f"{window}us", by=by,
    ),
    st.integers(10, 60), st.none() | st.integers(1, 30), st.sampled_from([0, 0, 1, 5, 20]), st.sampled_from([None, 0, 1, 7]),
    st.sampled_from([(), (), ("k",), ("k", "m")]),
)  # fmt: skip
SERVICES = st.builds(service, st.sampled_from([0, 3]), st.sampled_from([None, 1, 6]), exact=st.booleans())


def reach_of(asked: Split, bound: BoundService) -> int | None:
    views = [label.bound.view for label in bound.labels]
    known = [view.gap.micros + view.window.micros for view in views]
    return max([*known, *([] if asked.label_window is None else [asked.label_window])], default=None)


def naive(asked: Split, rows: Sequence[Row], bound: BoundService) -> list[str]:
    """By the words of the documentation, one row after the other."""
    assert asked.test_from is not None
    starts = {"test": asked.test_from} | ({} if asked.validation_from is None else {"validation": asked.validation_from})
    reach = reach_of(asked, bound)
    found = []
    for row in rows:
        part = next((p for p in ("test", "validation") if p in starts and row.at >= starts[p]), "train")
        later = [start for p, start in starts.items() if row.at < start]
        if any(start - asked.embargo <= row.at for start in later):
            part = "embargo"
        elif reach is not None and any(row.at + reach + bound.exact > start for start in later):
            part = "purged"
        found.append(part)
    for part, earlier in (("test", ("train", "validation")), ("validation", ("train",))):
        if asked.by:
            there = {_entity(r, asked) for r, p in zip(rows, found, strict=True) if p == part} - {None}
            found = ["purged" if p in earlier and _entity(r, asked) in there else p for r, p in zip(rows, found, strict=True)]
    return found


def _entity(row: Row, asked: Split) -> tuple[Any, ...] | None:
    values = tuple(getattr(row, name) for name in asked.by)
    return None if None in values else values


@given(asked=TIMES, rows=ROWS, bound=SERVICES)
def test_a_split_by_time_is_what_one_row_after_the_other_gives(asked: Split, rows: list[Row], bound: BoundService) -> None:
    assert split(asked, rows, bound) == naive(asked, rows, bound)


@given(asked=TIMES, rows=ROWS, bound=SERVICES)
def test_no_window_of_a_label_reaches_into_a_later_part_and_no_entity_is_on_both_sides(
    asked: Split, rows: list[Row], bound: BoundService
) -> None:
    """What must never be, said without the rules: an event that a label counts happens where another part's rows are."""
    assert asked.test_from is not None
    starts = {"train": asked.validation_from or asked.test_from, "validation": asked.test_from}
    found = split(asked, rows, bound)
    reach = reach_of(asked, bound)
    for row, part in zip(rows, found, strict=True):
        if part in starts:
            assert row.at < starts[part] - asked.embargo
            last_event = row.at + (reach or 0) - (0 if bound.exact and reach else 1)
            assert last_event < starts[part]
        if part == "test":
            assert row.at >= asked.test_from
    sides: dict[Any, set[str]] = {}
    for row, part in zip(rows, found, strict=True):
        if asked.by and _entity(row, asked) is not None and part in ("train", "validation", "test"):
            sides.setdefault(_entity(row, asked), set()).add(part)
    assert all(len(parts) == 1 for parts in sides.values())


def test_the_ends_of_a_window_are_those_of_the_contract() -> None:
    """[t, t + 5) does not hold t + 5; with exact matches (t, t + 5] does."""
    rows = [Row(94), Row(95), Row(96), Row(99), Row(100)]
    asked = Split.time(test_from=100)
    assert split(asked, rows, service(0, 5)) == ["train", "train", "purged", "purged", "test"]
    assert split(asked, rows, service(0, 5, exact=True)) == ["train", "purged", "purged", "purged", "test"]
    assert split(asked, rows, service(2, 3)) == ["train", "train", "purged", "purged", "test"]


def test_an_embargo_names_all_rows_in_it_and_settling_adds_nothing() -> None:
    rows = [Row(80), Row(89), Row(90), Row(99), Row(100)]
    asked = Split.time(test_from=100, embargo="10us")
    assert split(asked, rows, service(0, 15)) == ["train", "purged", "embargo", "embargo", "test"]


def test_without_a_label_window_nothing_is_purged_and_the_report_says_so() -> None:
    found = parts(Split.time(test_from=100), [Row(99), Row(100)])
    assert found.column.to_pylist() == ["train", "test"]
    assert found.warnings == ["no row is purged by its label: nothing says how far labels look ahead (--label-window)"]
    assert parts(Split.time(test_from=100, label_window="0s"), [Row(99), Row(100)]).warnings == []


# Drawn.

DRAWN = st.one_of(
    st.builds(
        lambda by, test, validation, seed: Split.group(by=by, test_share=test, validation_share=validation, seed=seed),
        st.sampled_from(["k", ("k", "m"), "m"]), st.sampled_from([0.1, 0.5]), st.sampled_from([0.0, 0.3]), st.integers(0, 9),
    ),
    st.builds(
        lambda test, validation, seed: Split.random(test_share=test, validation_share=validation, seed=seed),
        st.sampled_from([0.1, 0.5]), st.sampled_from([0.0, 0.3]), st.integers(0, 9),
    ),
)  # fmt: skip


@given(asked=DRAWN, rows=ROWS)
def test_an_entity_or_a_question_asked_twice_is_in_one_part(asked: Split, rows: list[Row]) -> None:
    sides: dict[Any, set[str]] = {}
    for row, part in zip(rows, split(asked, rows), strict=True):
        sides.setdefault((_entity(row, asked) if asked.by else None) or row, set()).add(part)
    assert all(len(parts) == 1 for parts in sides.values())


@given(asked=DRAWN | TIMES, rows=ROWS, data=st.data())
def test_another_order_of_the_spine_gives_every_row_the_same_part(asked: Split, rows: list[Row], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    found = split(asked, rows)
    assert split(asked, [rows[i] for i in order]) == [found[i] for i in order]


@given(asked=DRAWN, rows=ROWS, more=ROWS)
def test_a_drawn_part_does_not_hang_on_the_other_rows(asked: Split, rows: list[Row], more: list[Row]) -> None:
    assert split(asked, [*rows, *more])[: len(rows)] == split(asked, rows)


@given(asked=DRAWN | TIMES, rows=ROWS)
def test_counts_add_up_and_instants_are_first_and_last(asked: Split, rows: list[Row]) -> None:
    found = parts(asked, rows)
    counted = Counter(found.column.to_pylist())
    assert {part: told["rows"] for part, told in found.counts.items()} == {part: counted[part] for part in PARTS}
    for part, told in found.counts.items():
        mine = [r.at for r, p in zip(rows, found.column.to_pylist(), strict=True) if p == part]
        shown = [None, None] if not mine else [f"1970-01-01T00:00:00.{t:06}Z" for t in (min(mine), max(mine))]
        assert [told["first"], told["last"]] == shown


def test_keys_of_any_width_and_encoding_are_drawn_alike() -> None:
    rows = [Row(at=i % 7, k=i % 40) for i in range(200)]
    asked = Split.group(by="k", test_share=0.3)
    for kind in (pa.int32(), pa.uint64(), pa.decimal128(20, 0), pa.dictionary(pa.int8(), pa.int64())):
        assert split(asked, rows, kind=kind) == split(asked, rows)


def test_these_parts_are_these_for_ever() -> None:
    """A split drawn today is drawn again in years: no library's own hash takes part in it."""
    rows = [Row(at=i, k=k, m=m) for i, (k, m) in enumerate([(1, "a"), (2, "a"), (3, "é"), (-4, "b"), (None, "b"), (5, None)])]
    drawn = [
        split(Split.group(by="k", test_share=0.4, validation_share=0.3, seed=1), rows),
        split(Split.group(by=("k", "m"), test_share=0.4, validation_share=0.3, seed=1), rows),
        split(Split.random(test_share=0.4, validation_share=0.3, seed=-1), rows),
    ]
    assert ["".join(part[1] for part in parts) for parts in drawn] == ["reraea", "aeeaee", "aereee"]


@pytest.mark.parametrize("asked", [Split.group(by=("k", "m"), test_share=0.2, validation_share=0.1), Split.random(
    test_share=0.2, validation_share=0.1)], ids=["group", "random"])  # fmt: skip
def test_shares_are_kept_and_seeds_matter(asked: Split) -> None:
    rng = Random(4)
    rows = [Row(at=rng.randrange(10**9), k=i, m=rng.choice("abc")) for i in range(20_000)]
    found = split(asked, rows)
    counted = Counter(found)
    assert counted["test"] / len(rows) == pytest.approx(0.2, abs=0.01)
    assert counted["validation"] / len(rows) == pytest.approx(0.1, abs=0.01)
    other = split(Split.from_manifest({**asked.to_manifest(), "seed": 1}), rows)
    both = sum(a == b == "test" for a, b in zip(found, other, strict=True))
    assert both / len(rows) == pytest.approx(0.04, abs=0.01)  # two draws know nothing of each other


# What is refused.

WRONG = [
    lambda: Split.time(test_from="2026-01-01"),
    lambda: Split.time(test_from=100, validation_from=100),
    lambda: Split.time(test_from=100, embargo="1 month"),
    lambda: Split.time(test_from=2**62),
    lambda: Split.group(by=(), test_share=0.2),
    lambda: Split.group(by="k", test_share=0.0),
    lambda: Split.group(by="k", test_share=1.5),
    lambda: Split.random(test_share=0.7, validation_share=0.3),
    lambda: Split.random(test_share=0.2, seed=2**64),
    lambda: Split(kind="sorted"),
    lambda: Split.from_manifest({"kind": "time", "test_from": "2026-01-01T00:00:00Z", "weight": 3}),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_split_that_cannot_be_is_refused_at_birth(number: int) -> None:
    with pytest.raises(UsageError) as caught:
        WRONG[number]()
    assert caught.value.code in ("FS153", "FS103")


def test_what_cannot_name_an_entity_is_refused() -> None:
    for by, said in (("nobody", "has no column 'nobody'"), ("as_of", "cannot name an entity")):
        with pytest.raises(SpineError, match=said):
            split(Split.group(by=by, test_share=0.2), [Row(1)])


@given(asked=DRAWN | TIMES)
def test_a_split_comes_back_from_its_manifest(asked: Split) -> None:
    assert Split.from_manifest(asked.to_manifest()) == asked
