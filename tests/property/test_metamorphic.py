"""What must not matter does not: changes to the data after which every answer must be the same, with no oracle to trust.

The first of them is the promise of the whole: whatever happens to rows that were not knowable at t moves no answer at t.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from featurestore.testing.strategies import BEACON, CASE, CREATED, EVENT, FAR, KINDS, VALUES, Row, World, world
from tests.property import files
from tests.property.daily import daily
from tests.property.engines import Cells, Question, by_duckdb, of_features
from tests.property.files import File, Layout

CASES = 100
TIMED = [kind for kind in KINDS if kind != "static"]
VERSIONED = [kind for kind in TIMED if "versions" in kind]
ONE_FILE = Layout((File("pyarrow", "us", "string", 10_000),), "timestamp", False, {})
DAY = 86_400 * 10**6


@pytest.fixture
def answers(tmp_path: Path) -> Callable[..., Cells]:
    """Ask for a world's spine, over its rows as given."""
    rng, count = Random("layout"), 0

    def ask(
        drawn: World,
        rows: Sequence[Row],
        spine: Sequence[Row] | None = None,
        question: Question | None = None,
        layout: Layout = ONE_FILE,
    ) -> Cells:
        nonlocal count
        count += 1
        definition = replace(drawn.definition, source={**drawn.definition.source, **layout.options})
        columns = definition.source_columns
        tables = files.tables_of(rng, rows, definition, columns, layout)
        pattern = files.write(tables, tmp_path / str(count), layout)
        asked = drawn.spine if spine is None else spine
        types = definition.spine_types
        table = pa.table({name: files.spine_column([row[name] for row in asked], kind) for name, kind in types.items()})
        return by_duckdb(definition.service(path=str(pattern)), table, question or Question()).cells

    return ask


@pytest.fixture
def features(answers: Callable[..., Cells]) -> Callable[..., Cells]:
    """The answers of the features alone: labels look ahead, and have promises of their own."""

    def ask(drawn: World, *more: Any, **options: Any) -> Cells:
        return of_features(answers(drawn, *more, **options), drawn.definition.service(table=pa.table({})))

    return ask


def labelled_world(kind: str) -> World:
    """The first of a kind's worlds that has a label which becomes mature."""
    return next(w for w in (drawn_world(kind, seed) for seed in range(9, 99)) if w.definition.label)


def drawn_world(kind: str, seed: int = 0) -> World:
    return world(Random(f"metamorphic/{kind}/{seed}"), kind, CASES)


def known(drawn: World, row: Row) -> int | None:
    """When a row became known, as its source declares; None: never."""
    source = drawn.definition.source
    e, k = (None if t == FAR else t for t in (row[EVENT], row[CREATED]))
    if "created_timestamp" in source and (k is not None or source.get("created_null") != "event"):
        return k
    return None if e is None else e + delay(drawn)


def delay(drawn: World) -> int:
    return int(drawn.definition.source.get("delay", "0us").removesuffix("us"))


def hidden(drawn: World, row: Row, known_before: int, visible_before: int) -> bool:
    """Whether no answer may depend on the row. A version is never hidden by its event time: it hides its predecessors."""
    k = known(drawn, row)
    if k is None or k >= known_before:
        return True
    return max(k, row[EVENT] if _is_fact(drawn, row) else k) >= visible_before


def _is_fact(drawn: World, row: Row) -> bool:
    return "row_key" not in drawn.definition.source and row[EVENT] is not None


def cutoffs(drawn: World, question: Question) -> dict[int, tuple[int, int]]:
    """Per case (known_before, visible_before): what is known, or visible, from then on reaches none of its answers."""
    exact = int(drawn.definition.view.get("allow_exact_matches", False))
    last: dict[int, int] = {}
    for row in drawn.spine:
        last[row[CASE]] = max(row["as_of"], last.get(row[CASE], row["as_of"]))
    found = {}
    for case, t in last.items():
        limits = [t + exact]
        if question.known_before is not None:
            limits.append(question.known_before)
        if question.serving_lag:
            limits.append(t - question.serving_lag)
        found[case] = (min(limits), t + exact)
    return found


def changed(rng: Random, drawn: World, question: Question) -> tuple[list[Row], int]:
    """The rows, those that nobody could know removed, altered, delayed, and others added; and how many changes."""
    after, changes = [], 0
    limits = cutoffs(drawn, question)
    created = "created_timestamp" in drawn.definition.source
    for row in drawn.rows:
        if row[CASE] == BEACON:
            after.append(row)
            continue
        known_before, visible_before = limits[row[CASE]]
        if not hidden(drawn, row, known_before, visible_before):
            after.append(row)
            added = _altered(rng, drawn, row)
            if created:
                added[CREATED] = known_before + rng.choice((0, 1, DAY))
            else:  # known with the event, or a fixed time after it
                added[EVENT] = max(known_before, visible_before) + rng.choice((0, 1, DAY))
            after += [added] * (rng.random() < 0.5)
            changes += 1
            continue
        changes += 1
        kind = rng.choice(("removed", "altered", "delayed"))
        if kind == "altered":
            after.append(_altered(rng, drawn, row))
        elif kind == "delayed" and None not in (row[EVENT], row[CREATED]):
            later = rng.choice((1, DAY))
            after.append(row | ({CREATED: row[CREATED] + later} if created else {EVENT: row[EVENT] + later}))
    return after, changes


def _altered(rng: Random, drawn: World, row: Row) -> Row:
    """The row with other values and other keys of its case; its times stay."""
    other = rng.choice([r for r in drawn.rows if r[CASE] == row[CASE]])
    kept = {EVENT, CREATED, CASE, "rid"}
    return (
        row
        | {c: v for c, v in other.items() if c not in kept}
        | {c: rng.choice(VALUES[c][1]) for c in ("v", "n", "s")}
        | {"gone": True}
    )


@pytest.mark.parametrize("cut", ["at t", "at known_before", "at t - serving_lag"])
@pytest.mark.parametrize("kind", TIMED)
def test_what_was_not_knowable_moves_nothing(kind: str, cut: str, features: Callable[..., Cells]) -> None:
    drawn = drawn_world(kind)
    question = {
        "at t": Question(),
        "at known_before": Question(known_before=drawn.known_before),
        "at t - serving_lag": Question(serving_lag=drawn.serving_lag),
    }[cut]
    rows, changes = changed(Random(f"{kind}/{cut}"), drawn, question)
    assert changes > 100
    assert features(drawn, rows, question=question) == features(drawn, drawn.rows, question=question)


@pytest.mark.parametrize("kind", VERSIONED)
def test_corrections_appended_later_move_nothing_until_they_are_known(kind: str, features: Callable[..., Cells]) -> None:
    drawn = drawn_world(kind, 1)
    last = max(row["as_of"] for row in drawn.spine) + 1
    first = min(row["as_of"] for row in drawn.spine) - 1 - delay(drawn)
    rng = Random(kind)
    late = [_altered(rng, drawn, row) | {CREATED: last, EVENT: last} for row in drawn.rows]
    early = [_altered(rng, drawn, row) | {CREATED: first, EVENT: first, "seq": 9} for row in drawn.rows]
    before = features(drawn, drawn.rows)
    assert features(drawn, [*drawn.rows, *late]) == before
    assert features(drawn, [*drawn.rows, *early]) != before  # the same rows, known in time, do count


@pytest.mark.parametrize("kind", TIMED)
def test_facts_known_at_the_cut_off_or_later_move_no_label(kind: str, answers: Callable[..., Cells]) -> None:
    """As long as some row is known at the cut-off or later: up to there the source is then known, whatever it says."""
    drawn, rng = labelled_world(kind), Random(kind)
    [label] = drawn.definition.service(table=pa.table({})).labels
    middle = sorted(row["as_of"] for row in drawn.spine)[len(drawn.spine) // 2]
    cutoff = min(middle + label.view.horizon, max(known(drawn, row) for row in drawn.rows if row[CASE] == BEACON))
    created = "created_timestamp" in drawn.definition.source
    rows, late, timely = list[Row](), list[Row](), list[Row]()
    for row in drawn.rows:
        k, altered = known(drawn, row), _altered(rng, drawn, row)
        if row[CASE] == BEACON or (k is not None and k < cutoff):
            at = cutoff + rng.choice((0, 0, 1, DAY))
            rows.append(row)
            late.append(altered | ({CREATED: at} if created else {EVENT: at - delay(drawn)}))
            timely.append(altered | ({CREATED: cutoff - 1} if created else {}))
        elif rng.random() < 0.7:
            late.append(altered)
    question = Question(known_before=cutoff)
    before = answers(drawn, drawn.rows, question=question)
    assert answers(drawn, [*rows, *late], question=question)["y"] == before["y"]
    assert answers(drawn, [*rows, *timely], question=question)["y"] != before["y"]  # known in time, the same rows do count
    assert sum(value is not None for value, _, _ in before["y"]) > 20


@pytest.mark.parametrize("kind", daily(TIMED, "created", "delayed", "versions"))
def test_labels_move_no_feature(kind: str, answers: Callable[..., Cells]) -> None:
    drawn = labelled_world(kind)
    without = replace(drawn, definition=replace(drawn.definition, label=""))
    with_label, alone = answers(drawn, drawn.rows), answers(without, drawn.rows)
    assert with_label.keys() - alone.keys() == {"y"}
    assert {name: with_label[name] for name in alone} == alone


@pytest.mark.parametrize("kind", daily(KINDS, "at_once", "versions_delayed", "static"))
def test_the_order_of_rows_and_their_files_does_not_matter(kind: str, answers: Callable[..., Cells]) -> None:
    drawn = drawn_world(kind, 2)
    scattered = Layout(
        (File("polars", "us", "large", 7), File("pyarrow", "ns", "dictionary", 3), File("pyarrow", "us", "string", 50),
         File("polars", "us", "dictionary", 10_000), File("pyarrow", "us", "large", 1)),
        "timestamp", False, {},
    )  # fmt: skip
    assert answers(drawn, drawn.rows, layout=scattered) == answers(drawn, drawn.rows)


@pytest.mark.parametrize("kind", ["at_once", "created", "versions", "static"])
def test_rows_of_the_spine_are_answered_each_by_itself(kind: str, answers: Callable[..., Cells]) -> None:
    drawn = drawn_world(kind, 3)
    order = Random(kind).choices(range(len(drawn.spine)), k=2 * len(drawn.spine))
    once, many = answers(drawn, drawn.rows), answers(drawn, drawn.rows, [drawn.spine[i] for i in order])
    assert many == {name: [cells[i] for i in order] for name, cells in once.items()}


@pytest.mark.parametrize("shift", [1, -(10 * 365 * DAY + 1)])
@pytest.mark.parametrize("kind", daily(TIMED, "created_or_event", "versions_deleted"))
def test_a_shift_of_all_times_shifts_the_answers(kind: str, shift: int, answers: Callable[..., Cells]) -> None:
    drawn = drawn_world(kind, 4)
    # On-demand features read the instant itself, and an hour of the day does not move with it.
    drawn = replace(drawn, definition=replace(drawn.definition, on_demand=None))

    def moved(rows: Sequence[Row], *columns: str) -> list[Row]:
        return [row | {c: row[c] + shift for c in columns if row[c] not in (None, FAR)} for row in rows]

    before = answers(drawn, drawn.rows)
    after = answers(drawn, moved(drawn.rows, EVENT, CREATED), moved(drawn.spine, "as_of"))
    assert after == {name: [_shifted(cell, shift) for cell in cells] for name, cells in before.items()}


def _shifted(cell: tuple[Any, str, int | None], shift: int) -> tuple[Any, str, int | None]:
    value, status, event = cell
    return value, status, None if event is None else event + shift


@pytest.mark.parametrize("kind", ["created", "versions_delayed"])
def test_the_zone_of_the_machine_does_not_matter(
    kind: str, answers: Callable[..., Cells], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = drawn_world(kind, 5)
    naive = replace(ONE_FILE, naive=True, options={"timezone": {EVENT: "America/New_York"}})
    found = []
    for zone in ("UTC", "America/New_York", "Asia/Kathmandu"):
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            found += [answers(drawn, drawn.rows, layout=layout) for layout in (ONE_FILE, naive)]
    time.tzset()
    assert all(each == found[0] for each in found[2::2])
    assert all(each == found[1] for each in found[3::2])
