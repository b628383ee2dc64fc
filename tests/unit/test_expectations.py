"""What an expectation may say, and with which columns it goes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from featurestore import ParquetSource, expect
from featurestore.definitions import Expectation
from featurestore.dtypes import parse_dtype
from featurestore.errors import DefinitionError
from featurestore.expressions import normalised

TYPES = {
    name: parse_dtype(dtype) for name, dtype in {
        "at": "timestamp[us, UTC]", "n": "int64", "small": "int8", "x": "double", "price": "decimal128(12, 2)", "s": "string",
        "b": "bool", "day": "date32", "raw": "binary", "tags": "list<string>", "written": "string",
    }.items()
}  # fmt: skip
REFUSED: list[tuple[Any, str, str]] = [
    (lambda: expect.between("x"), "FS202", "needs a bound"),
    (lambda: expect.between("x", 2, 1), "FS202", "nothing is between 2 and 1"),
    (lambda: expect.between("x", 0, "a"), "FS202", "of two types"),
    (lambda: expect.between("x", float("nan"), 1), "FS202", "nan is not a bound"),
    (lambda: expect.between("x", 0, float("inf")), "FS202", "inf is not a bound"),
    (lambda: expect.between("x", 0, 2**63), "FS202", "is not a bound"),
    (lambda: expect.between("x", False, True), "FS202", "False is not a bound"),
    (lambda: expect.between("x", Decimal(1), None), "FS202", "is not a bound"),
    (lambda: expect.between("at", datetime(2024, 1, 1), None), "FS202", "is not a bound"),
    (lambda: expect.between("", 1, 2), "FS202", "not a column name"),
    (lambda: expect.between("x", 1, 2, action="quarantaine"), "FS202", "not a choice"),
    (lambda: expect.between("x", 1, 2, action=None), "FS202", "not a choice"),
    (lambda: expect.one_of("s", []), "FS202", "list of values"),
    (lambda: expect.one_of("s", "open"), "FS202", "list of values"),
    (lambda: expect.one_of("s", ["open", None]), "FS202", "None is not a value"),
    (lambda: expect.one_of("s", [["open"]]), "FS202", "is not a value"),
    (lambda: expect.matches("s", "^a$"), "FS224", "anchor"),
    (lambda: expect.fresh("1d", action="quarantine"), "FS204", "reads the clock"),
    (lambda: expect.fresh("1 month"), "FS211", "month"),
    (lambda: expect.fresh("1d", action="stop"), "FS202", "not a choice"),
]


@pytest.mark.parametrize(("make", "code", "said"), REFUSED)
def test_what_can_mean_nothing_is_refused_where_it_is_written(make: Any, code: str, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert (caught.value.code, caught.value.where.split(":")[0]) == (code, "unit/test_expectations.py")
    assert said in caught.value.what


def test_a_typo_in_an_action_is_told_the_nearest() -> None:
    with pytest.raises(DefinitionError) as caught:
        expect.not_null("x", action="quarantaine")
    assert caught.value.hint == "quarantine"


def source(*expectations: Any, **options: Any) -> ParquetSource:
    given = {"event_timestamp": "at", "delay": "0s", **options}
    return ParquetSource(name="s", path="s.parquet", expectations=list(expectations), **given)


def test_a_source_takes_each_expectation_once_and_nothing_else() -> None:
    assert source(expect.not_null("x")).expectations[0].reason == "x not null"
    assert ParquetSource(name="s", path="s.parquet", static=True, expectations=expect.not_null("x")).expectations
    for bad, code in (
        ("x not null", "FS202"),
        ([expect.not_null("x"), expect.not_null("x", action="warn")], "FS204"),
    ):
        with pytest.raises(DefinitionError) as caught:
            source(*(bad if isinstance(bad, list) else [bad]))
        assert caught.value.code == code
    with pytest.raises(DefinitionError, match="never fresh"):
        ParquetSource(name="s", path="s.parquet", static=True, expectations=[expect.fresh("1d")])


FITTING = {
    "n": (expect.between("n", -1, 10.5), 'or(is_null("n"), and(greater_equal("n", -1), less_equal("n", 10.5)))'),
    "small": (expect.one_of("small", [1, 2]), 'or(is_null("small"), in("small", 1, 2))'),
    "x": (expect.between("x", high=1), 'or(is_null("x"), less_equal("x", 1))'),
    "price": (expect.between("price", 0), 'or(is_null("price"), greater_equal("price", 0))'),
    "s": (expect.matches("s", "a+"), 'or(is_null("s"), matches("s", \'a+\'))'),
    "b": (expect.one_of("b", [True]), 'or(is_null("b"), in("b", True))'),
    "day": (
        expect.one_of("day", [date(1970, 1, 2), "1970-01-03"]),
        'or(is_null("day"), in(epoch_us(cast("day", timestamp[us, UTC])), 86400000000, 172800000000))',
    ),
    "at": (
        expect.between("at", "1970-01-01T01:00:00+01:00", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        'or(is_null("at"), and(greater_equal(epoch_us("at"), 0), less_equal(epoch_us("at"), 1000000)))',
    ),
    "raw": (expect.not_null("raw"), 'not(is_null("raw"))'),
    "tags": (expect.not_null("tags"), 'not(is_null("tags"))'),
}


@pytest.mark.parametrize("column", FITTING)
def test_an_expectation_is_a_condition_of_ours(column: str) -> None:
    made, condition = FITTING[column]
    made.check(TYPES, ())
    assert normalised(made.passes(TYPES)) == condition


MISFITS = [
    (expect.between("s", 0, 1), "FS216"), (expect.between("n", "a", "b"), "FS216"), (expect.between("b", 0, 1), "FS216"),
    (expect.between("raw", 0, 1), "FS216"), (expect.between("tags", "a", "b"), "FS216"), (expect.one_of("n", [True]), "FS216"),
    (expect.one_of("s", ["a", 1]), "FS216"), (expect.one_of("x", [date(2024, 1, 1)]), "FS216"),
    (expect.matches("n", "a"), "FS216"),
    (expect.between("s", date(2024, 1, 1), None), "FS216"), (expect.between("day", 0, 1), "FS216"),
    (expect.between("day", "2024-02-30", None), "FS216"), (expect.between("at", "2024-01-01T00:00:00", None), "FS216"),
    (expect.one_of("day", [datetime(2024, 1, 1, tzinfo=UTC)]), "FS216"),
    (expect.between("at", date(2024, 1, 1), None), "FS216"),
    (expect.matches("day", "2024.*"), "FS216"), (expect.not_null("nn"), "FS203"), (expect.not_null("written"), "FS219"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "code"), MISFITS, ids=lambda x: str(x))
def test_what_does_not_go_with_the_column_is_refused_by_name(made: Expectation, code: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        source(made, created_timestamp="written", created_null="event", time_format="iso8601").check_expectations(TYPES)
    assert caught.value.code == code
    assert made.reason in caught.value.what
    assert "source 's'" in caught.value.where


def test_a_declared_schema_is_enough_to_refuse_one() -> None:
    with pytest.raises(DefinitionError) as caught:
        source(expect.between("x", 0, 1), schema={"at": "timestamp", "x": "string"})
    assert caught.value.code == "FS216"


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (expect.between("x", 0, 100_000), "x between 0 and 100000"), (expect.between("x", 0.5), "x at least 0.5"),
        (expect.between("x", high=-1), "x at most -1"), (expect.one_of("b", [True, False]), "b one of true, false"),
        (expect.one_of("day", [date(2024, 1, 1)]), "day one of 2024-01-01"), (expect.matches("s", "a|b"), "s matches a|b"),
        (expect.not_null("s"), "s not null"), (expect.fresh("36h"), "newest row at most 36h old"),
    ],
)  # fmt: skip
def test_an_expectation_is_told_in_words(made: Expectation, reason: str) -> None:
    assert made.reason == reason
    assert repr(made) == f"{reason} (fail)"
