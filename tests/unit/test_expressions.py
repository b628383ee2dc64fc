"""Expressions: what may be written, how it is read, and which type it has."""

from __future__ import annotations

import pytest

from featurestore.dtypes import BINARY, BOOL, DATE, DOUBLE, INT64, STRING, TIMESTAMP, DType
from featurestore.errors import DefinitionError
from featurestore.expressions import (
    CASTS,
    OPERATIONS,
    Call,
    Cast,
    Column,
    Literal,
    columns,
    normalised,
    parse,
    result_type,
)

READ = {
    # literals
    "1": "1",
    "-1": "-1",
    "9223372036854775807": "9223372036854775807",
    "-9223372036854775808": "-9223372036854775808",
    "1.5": "1.5",
    "1e3": "1000.0",
    "-2.5e-1": "-0.25",
    "'it''s'": '"it\'s"',
    "TRUE": "True",
    "Null": "None",
    # precedence
    "a + b * c": 'add("a", multiply("b", "c"))',
    "(a + b) * c": 'multiply(add("a", "b"), "c")',
    "a - b - c": 'subtract(subtract("a", "b"), "c")',
    "a / b / c": 'divide(divide("a", "b"), "c")',
    "-a * b": 'multiply(negate("a"), "b")',
    "a % b + c": 'add(modulo("a", "b"), "c")',
    "a or b and c": 'or("a", and("b", "c"))',
    "not a and b": 'and(not("a"), "b")',
    "not a = b": 'not(equal("a", "b"))',
    "a + 1 > b": 'greater(add("a", 1), "b")',
    "a || b || c": 'concat(concat("a", "b"), "c")',
    "a between 1 and 2 and b": 'and(and(greater_equal("a", 1), less_equal("a", 2)), "b")',
    "a not between 1 and 2": 'not(and(greater_equal("a", 1), less_equal("a", 2)))',
    "a != 1": 'not_equal("a", 1)',
    "a == 1": 'equal("a", 1)',
    "a ^ 2": 'power("a", 2)',
    # names
    "größe": '"größe"',
    "Amount": '"Amount"',
    '"odd name"': '"odd name"',
    '"a""b"': '"a""b"',
    '"select"': '"select"',
    "a -- said aside": '"a"',
    # NULL and truth
    "a is null": 'is_null("a")',
    "a is not null": 'not(is_null("a"))',
    "a is true": 'coalesce("a", False)',
    "a is false": 'coalesce(not("a"), False)',
    "a is not true": 'not(coalesce("a", False))',
    "a in (1, 2)": 'in("a", 1, 2)',
    "a not in ('x')": "not(in(\"a\", 'x'))",
    # CASE
    "case when a then 1 else 2 end": 'case("a", 1, 2)',
    "case when a then 1 end": 'case("a", 1, None)',
    "case when a then 1 when b then 2 end": 'case("a", 1, "b", 2, None)',
    "case a when 1 then 'x' else 'y' end": "case(equal(\"a\", 1), 'x', 'y')",
    "if(a, 1, 2)": 'case("a", 1, 2)',
    # functions and casts
    "Coalesce(a, b, 0)": 'coalesce("a", "b", 0)',
    "ifnull(a, 0)": 'coalesce("a", 0)',
    "nullif(a, 0)": 'nullif("a", 0)',
    "greatest(a, b)": 'greatest("a", "b")',
    "round(a)": 'round("a")',
    "isodow(t)": 'day_of_week("t")',
    "epoch_us(t)": 'epoch_us("t")',
    "isnan(a)": 'is_nan("a")',
    "length(a)": 'length("a")',
    "trim(a)": 'trim("a")',
    "starts_with(a, 'x')": "starts_with(\"a\", 'x')",
    "regexp_full_match(a, 'x+')": "matches(\"a\", 'x+')",
    "cast(a as bigint)": 'cast("a", int64)',
    "a::double": 'cast("a", double)',
    "try_cast(a as varchar)": 'cast("a", string)',
}


@pytest.mark.parametrize("text", READ)
def test_how_text_is_read(text: str) -> None:
    assert normalised(parse(text)) == READ[text]


@pytest.mark.parametrize(
    "one, other",
    [
        ("a+b", " ( a )  +\n b "),
        ("CASE WHEN a THEN 1 END", "case when a then 1 else null end"),
        ("coalesce(a, 0)", "COALESCE(a,0)"),
        ("a <> 1", "a != 1"),
        ('"a"', "a"),
        ("a IN (1,2)", "a in ( 1, 2 )"),
    ],
)
def test_blanks_parentheses_and_case_of_keywords_do_not_show(one: str, other: str) -> None:
    assert parse(one) == parse(other)
    assert normalised(parse(one)) == normalised(parse(other))


@pytest.mark.parametrize(
    "one, other", [("a", "A"), ("1", "1.0"), ("1", "true"), ("'a'", "'A'"), ("a + b", "b + a"), ("0", "false")]
)
def test_what_may_mean_something_else_is_another_expression(one: str, other: str) -> None:
    assert parse(one) != parse(other)
    assert normalised(parse(one)) != normalised(parse(other))


REFUSED = {
    "the clock": ["now()", "current_date", "current_timestamp", "today()", "get_current_timestamp()", "localtimestamp"],
    "chance": ["random()", "uuid()", "gen_random_uuid()"],
    "another row": ["lag(a) over ()", "row_number() over ()", "first_value(a) over (order by b)"],
    "an aggregate": ["sum(a)", "count(*)", "max(a)", "avg(a)", "count(a) filter (where b)"],
    "a query": ["(select 1)", "a in (select 1)", "exists(select 1)", "select 1"],
    "another table": ["t.a", "*"],
    "a parameter": ["$a", "?"],
    "a nested value": ["[1, 2]", "a[1]", "(a, b)", "{'x': 1}"],
    "an unlisted function": ["md5(a)", "regexp_matches(a, 'x')", "log(a)", "concat(a, b)", "a like 'x%'", "a // b"],
    "an option": ["trim(leading from a)", "length(a, 'x')", "regexp_full_match(a, 'x', 'i')"],
    "a pattern that is not a constant": ["regexp_full_match(a, b)", "regexp_full_match(a, 1)", "regexp_full_match(a, null)"],
    "a moving length of time": ["t + interval '1 month'", "t at time zone 'UTC'", "date_trunc('day', t)"],
    "an unlisted cast": ["cast(a as decimal(3, 1))", "a::float", "timestamp '2020-01-01'"],
    "a name for it": ["a as b", "a b"],
}


@pytest.mark.parametrize("what, text", [(what, text) for what, texts in REFUSED.items() for text in texts])
def test_what_is_not_on_the_list_is_refused(what: str, text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse(text)
    assert caught.value.code == "FS215"


@pytest.mark.parametrize("text", ["", "  ", "a +", "a; b", "case else 1 end", "(a", "coalesce()", "9223372036854775808"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse(text)
    assert caught.value.code == "FS214"


@pytest.mark.parametrize("given", [None, 5, ["a"], {"a": 1}, b"a"])
def test_what_is_not_text_is_refused(given: object) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse(given)  # type: ignore[arg-type]
    assert caught.value.code == "FS214"


def test_a_refusal_names_the_nearest_function_and_never_an_operator() -> None:
    for text, hint in [("lengt(a)", "length(…)"), ("a & b", "the operations listed in docs/reference/expressions.md")]:
        with pytest.raises(DefinitionError) as caught:
            parse(text)
        assert caught.value.hint == hint


def test_the_columns_read_in_the_order_written() -> None:
    text = 'case when b > 0 then cast(a as double) else b + "odd name" end'
    assert list(columns(parse(text))) == ["b", "a", "b", "odd name"]


# Types.

TYPES = {
    "i": INT64, "i8": DType("int8"), "u": DType("uint64"), "d": DOUBLE, "f": DType("float"), "m": DType("decimal128(9, 2)"),
    "s": STRING, "b": BOOL, "t": TIMESTAMP, "day": DATE, "raw": BINARY, "l": DType("list<double>"),
}  # fmt: skip


@pytest.mark.parametrize(
    "text, dtype",
    [
        *((name, dtype.name) for name, dtype in TYPES.items()),  # a bare column keeps its own type
        ("i8 + 1", "int64"),
        ("i + d", "double"),
        ("f * f", "double"),
        ("m + 0", "double"),
        ("i / i", "double"),
        ("i % 2", "int64"),
        ("-i8", "int64"),
        ("abs(d)", "double"),
        ("sqrt(i)", "double"),
        ("i = d", "bool"),
        ("s < 'x'", "bool"),
        ("t > t", "bool"),
        ("raw is null", "bool"),
        ("l is not null", "bool"),
        ("b and true", "bool"),
        ("i in (1, 2.5, null)", "bool"),
        ("case when b then i else d end", "double"),
        ("case when b then null else s end", "string"),
        ("coalesce(i, 0)", "int64"),
        ("nullif(s, '')", "string"),
        ("greatest(i, d)", "double"),
        ("s || 'x'", "string"),
        ("length(s)", "int64"),
        ("hour(t)", "int64"),
        ("cast(t as date)", "date32"),
        ("cast(day as timestamptz)", "timestamp[us, UTC]"),
        ("cast(s as double)", "double"),
        ("cast(b as bigint)", "int64"),
        ("cast(s as varchar)", "string"),
    ],
)
def test_the_type_of_an_expression(text: str, dtype: str) -> None:
    assert result_type(parse(text), TYPES, what="it").name == dtype


@pytest.mark.parametrize(
    "text",
    [
        "i + s", "i = s", "b + 1", "not i", "i and b", "case when i then 1 else 2 end", "coalesce(i, s)", "upper(i)",
        "hour(day)", "raw = raw", "l = l", "d % 2", "isnan(s)", "cast(d as varchar)", "cast(t as bigint)", "cast(b as double)",
        "null", "round(d, 2)", "trim(s, 'x')", "t = day", "-b",
    ],
)  # fmt: skip
def test_operands_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        result_type(parse(text), TYPES, what="it")
    assert caught.value.code == "FS216"


def test_a_column_nobody_has_names_the_nearest() -> None:
    with pytest.raises(DefinitionError) as caught:
        result_type(parse("amont + 1"), {"amount": INT64}, what="feature 'x'")
    assert caught.value.code == "FS203"
    assert caught.value.hint == "amount"


def test_every_operation_can_be_written() -> None:
    words = " ".join(READ.values())
    unwritten = {name for name in OPERATIONS if f"{name}(" not in words}
    spelled = {
        "floor(a)", "ceil(a)", "abs(a)", "sqrt(a)", "ln(a)", "exp(a)", "lower(a)", "upper(a)", "ends_with(a, b)",
        "contains(a, b)", "year(t)", "month(t)", "day(t)", "hour(t)", "least(a, b)", "a < b", "a <= b", "a >= b",
    }  # fmt: skip
    read = {parse(text).operation for text in spelled}  # type: ignore[union-attr]
    assert unwritten - read == set()


def test_the_tree_is_plain_frozen_data() -> None:
    assert parse("cast(a + 1 as double)") == Cast(Call("add", (Column("a"), Literal(1))), DOUBLE)
    assert hash(parse("a + 1")) == hash(parse("a+1"))
    assert {source for source, _ in CASTS} <= {"int64", "double", "bool", "string", "date32", "timestamp[us, UTC]"}
