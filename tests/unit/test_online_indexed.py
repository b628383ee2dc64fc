"""Windows over an indexed record give the values the oracle's aggregates give, whatever was folded."""

from __future__ import annotations

from bisect import bisect_left
from random import Random
from typing import Any

import pytest

from featurestore.definitions import AGGREGATES
from featurestore.dtypes import DType
from featurestore.engines.reference.aggregates import Taken, aggregate
from featurestore.errors import StoreFormat
from featurestore.intervals import FOREVER
from featurestore.online import indexed
from featurestore.online.indexed import FOLDABLE, Indexed, MeasureFacts, TooWide, edges_of, encode, wanted_by
from featurestore.retrieval.online_folds import FOLDS, Aggregated
from featurestore.retrieval.online_indexed import LOOKS
from tests.unit.test_online_folds import PARAMETERS, TAKES, VALUES

ASKED_AT = 10**6


def record(dtype: DType, name: str, facts: list[Taken], edges: Any = None) -> Indexed:
    known = [f.k for f in facts] if wanted_by([name]).by_time else None
    laid = MeasureFacts(dtype, wanted_by([name]), [f.e for f in facts], [f.value for f in facts], known)
    return Indexed(encode(FOREVER, 77, b"entries", [laid], edges))


def look(index: Indexed, of: Aggregated, name: str, low: int | None, high: int) -> Any:
    elements = index.measure(0, of.taken)
    i, j = elements.between(low, high)
    return LOOKS[name](of)(elements, i, j, ASKED_AT) if i < j else FOLDS[name].make(of)([])


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of doubles of all magnitudes, too."""
    monkeypatch.setattr(indexed, "WIDEST", 10_000)


def drawn(rng: Random, dtype: str, span: int) -> list[Taken]:
    facts = [Taken(rng.randrange(span), rng.choice((5, 6)), rng.choice(VALUES[dtype])) for _ in range(rng.randrange(40))]
    return sorted(facts, key=lambda fact: fact.e)


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("block", [4, 4_096])
@pytest.mark.parametrize(("name", "dtype"), TAKES)
def test_a_window_is_what_its_facts_make(name: str, dtype: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed, "BLOCK", block)
    taken = DType(dtype)
    result = AGGREGATES[name].result(taken)
    assert result is not None
    rng = Random(f"{name}/{dtype}")
    for _ in range(60):
        facts = drawn(rng, dtype, 30)
        index = record(taken, name, facts)
        assert (index.entries, index.exact_until) == (b"entries", FOREVER)
        of = Aggregated(rng.choice(PARAMETERS[AGGREGATES[name].parameter]), taken, result)
        for _ in range(5):
            low, high = rng.choice((None, rng.randrange(31))), rng.randrange(31)
            inside = [f for f in facts if (low is None or f.e >= low) and f.e < high]
            assert repr(look(index, of, name, low, high)) == repr(aggregate(name, of.parameter, inside, ASKED_AT)), facts


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize(("name", "dtype"), [case for case in TAKES if case[0] in FOLDABLE])
def test_folding_changes_no_window_that_ends_in_an_edge(name: str, dtype: str) -> None:
    taken = DType(dtype)
    result = AGGREGATES[name].result(taken)
    assert result is not None
    rng, folded = Random(f"{name}/{dtype}/folded"), 0
    for _ in range(100):
        facts = drawn(rng, dtype, 60)
        spans = [(rng.choice((None, rng.randrange(1, 60))), rng.randrange(5)) for _ in range(rng.randrange(1, 4))]
        horizon = rng.choice((0, 1, 3))
        edges = edges_of(spans, 50, horizon)
        index = record(taken, name, facts, edges)
        folded += index.exact_until == 77
        of = Aggregated(rng.choice(PARAMETERS[AGGREGATES[name].parameter]), taken, result)
        for begin, end in spans:
            for t in range(50, 50 + horizon + 2):  # with exact matches a window ends a microsecond later
                low, high = None if begin is None else t - begin, t - end
                inside = [f for f in facts if (low is None or f.e >= low) and f.e < high]
                found = look(index, of, name, low, high)
                assert repr(found) == repr(aggregate(name, of.parameter, inside, ASKED_AT)), (facts, edges, low, high)
    assert folded > 30


def test_edges_that_touch_are_one() -> None:
    assert edges_of([(100, 0), (100, 10)], 1_000, 5) == [(900, 906), (990, 996), (1_000, 1_006)]
    assert edges_of([(None, 0), (6, 0)], 1_000, 5) == [(994, 1_006)]
    assert edges_of([(8, 0)], 1_000, 5) == [(992, 998), (1_000, 1_006)]


def test_a_sum_of_all_magnitudes_is_left_to_others() -> None:
    facts = MeasureFacts(DType("double"), wanted_by(["sum"]), [1, 2], [1e308, 5e-324])
    with pytest.raises(TooWide):
        encode(FOREVER, 0, b"", [facts], None)


def test_more_distinct_values_than_allowed_have_no_value() -> None:
    int64 = DType("int64")
    facts = [Taken(e, e, e % 3) for e in range(10)]
    for name in ("count_distinct", "median", "quantile", "mode", "histogram"):
        result = AGGREGATES[name].result(int64)
        assert result is not None
        parameter = {"quantile": 0.5, "histogram": 2}.get(name)
        for cap, refused in ((3, False), (2, True)):
            of = Aggregated(parameter, int64, result, cap)
            index = record(int64, name, facts)
            for value in (lambda of=of, i=index, n=name: look(i, of, n, 0, 10),
                          lambda of=of, n=name: FOLDS[n].make(of)([f.value for f in facts])):  # fmt: skip
                if refused:
                    with pytest.raises(OverflowError):
                        value()
                else:
                    value()


@pytest.mark.parametrize("length", range(0, 40, 3))
def test_a_record_cut_short_is_refused(length: int) -> None:
    whole = encode(FOREVER, 0, b"entries", [MeasureFacts(DType("int64"), wanted_by(["sum"]), [1, 2], [3, 4])], None)

    def read() -> int:
        return Indexed(whole[:length]).measure(0, DType("int64")).sum(0, 2)

    with pytest.raises((StoreFormat, TypeError, ValueError, IndexError)):
        read()


def test_positions_are_those_of_bisection() -> None:
    elements = record(DType("int64"), "count", [Taken(e, e, 1) for e in (3, 3, 5)]).measure(0, DType("int64"))
    assert [elements.between(low, high) for low, high in ((None, 3), (3, 4), (3, 6), (4, 4), (9, 2))] == [
        (0, 0), (0, 2), (0, 3), (2, 2), (0, 0),
    ]  # fmt: skip
    assert bisect_left(elements.times, 5) == 2


def test_a_view_may_have_more_measures_than_a_byte_counts() -> None:
    int64 = DType("int64")
    record = encode(FOREVER, 0, b"", [MeasureFacts(int64, wanted_by(["sum"]), [1], [n]) for n in range(300)], None)
    assert [Indexed(record).measure(n, int64).sum(0, 1) for n in (0, 255, 256, 299)] == [0, 255, 256, 299]
    with pytest.raises(StoreFormat):
        Indexed(record).measure(300, int64)
