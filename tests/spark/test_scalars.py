"""Every operation and cast means the same in Spark SQL, in DuckDB SQL and in the oracle, on the operands that break
expressions; ANSI mode on or off.

All that is tried with one combination of types is one statement: every expression is a column of it. A row of a table without
a test fails in `tests/property/test_expressions.py`, whose operands these are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from featurestore import expressions
from featurestore.compiler.duckdb import scalars as duckdb
from featurestore.compiler.spark import scalars
from featurestore.compiler.spark.types import sql_type
from featurestore.dtypes import BOOL, DATE, DOUBLE, INT64, STRING, TIMESTAMP, DType, parse_dtype
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.reference import evaluate
from featurestore.expressions import CASTS, OPERATIONS, Call, Cast, Column, Expr, Literal
from tests.property.operands import (
    COLUMN_TYPES,
    CONSTANTS,
    GREATEST,
    LEAST,
    POOLS,
    SIGNATURES,
    TEXTS,
    TWO_ULP,
    alike,
    drawn,
    read_found,
    rows_of,
    table_of,
    tree,
)
from tests.spark.asking import Operands

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Columns = Mapping[str, tuple[DType, list[Any]]]


def by_signature() -> dict[tuple[str, ...], list[Expr]]:
    """Column types -> every operation and cast that is tried with them, over columns c0, c1, …"""
    found: dict[tuple[str, ...], list[Expr]] = {}
    for operation, signatures in SIGNATURES.items():
        for signature in signatures:
            columns = [Column(f"c{i}") for i in range(len(signature))]
            for constant in CONSTANTS.get(operation, (None,)):
                operands = (*columns, *([] if constant is None else [Literal(constant)]))
                found.setdefault(tuple(signature), []).append(Call(operation, operands))
    for source, target in CASTS:
        found.setdefault((source,), []).append(Cast(Column("c0"), parse_dtype(target)))
    return found


ASKED = by_signature()
BOTH = (True, False)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session(Settings(threads=1)) as opened:
        yield opened


def test_every_operation_and_cast_has_a_row_and_is_tried() -> None:
    assert set(scalars.OPERATIONS) == set(OPERATIONS)
    assert set(scalars.CASTS) == set(CASTS)
    tried = [one for asked in ASKED.values() for one in asked]
    assert {one.operation for one in tried if isinstance(one, Call)} == set(OPERATIONS)
    assert sum(isinstance(one, Cast) for one in tried) == len(CASTS)


@pytest.mark.fuzz
@pytest.mark.parametrize("signature", ASKED, ids=", ".join)
def test_an_operation_means_the_same_to_all(
    signature: tuple[str, ...], spark: SparkSession, session: Session, tmp_path: Path, fuzz_cases: int
) -> None:
    for seed in range(max(1, fuzz_cases // 30_000)):
        compare(spark, session, tmp_path, ASKED[signature], drawn(Random(f"{signature}/{seed}"), signature))


@pytest.mark.fuzz
def test_trees_of_operations_mean_the_same_to_all(
    spark: SparkSession, session: Session, tmp_path: Path, fuzz_cases: int
) -> None:
    """Nesting shows what single operations cannot: what Spark's optimizer makes of them."""
    for seed in range(max(4, fuzz_cases // 1_000)):
        rng = Random(f"trees/{seed}")
        wanted = (INT64, INT64, DOUBLE, BOOL, STRING, TIMESTAMP, DATE)
        trees_asked = [tree(rng, rng.choice(wanted), 3) for _ in range(75)]
        compare(spark, session, tmp_path, trees_asked, drawn(rng, COLUMN_TYPES), modes=(seed % 2 == 0,))


def compare(
    spark: SparkSession,
    session: Session,
    folder: Path,
    asked: Sequence[Expr],
    columns: Columns,
    *,
    modes: Sequence[bool] = BOTH,
) -> None:
    """modes: of ANSI, each of which must give what the oracle and DuckDB do."""
    types = {name: dtype for name, (dtype, _) in columns.items()}
    table = table_of(columns)
    rows, operands = rows_of(table), Operands(spark, table, folder)
    found = {f"Spark, ANSI {mode}": operands.ask(_sql(scalars, asked, types), ansi=mode) for mode in modes}
    found["DuckDB"] = _ask_duckdb(session, table, _sql(duckdb, asked, types))
    wrong = []
    for i, one in enumerate(asked):
        ulps = 2 if isinstance(one, Call) and one.operation in TWO_ULP else 0
        expected = list(map(evaluate.evaluator(one, types), rows))
        for engine, answers in found.items():
            values = read_found(answers[f"x{i}"])
            differ = [(r, e, v) for r, e, v in zip(rows, expected, values, strict=True) if not alike(e, v, ulps)]
            if differ:
                what = f"{engine}: {expressions.normalised(one)}"
                wrong.append(f"{what}: (operands, oracle, {engine}) of {len(differ)} rows: {differ[:3]}")
    assert not wrong, "\n".join(wrong)


def _sql(dialect: Any, asked: Sequence[Expr], types: Mapping[str, DType]) -> dict[str, str]:
    results = [expressions.result_type(one, types, what="the test") for one in asked]
    return {
        f"x{i}": dialect.scalar(one, types, dialect.quoted, result)
        for i, (one, result) in enumerate(zip(asked, results, strict=True))
    }


def _ask_duckdb(session: Session, table: pa.Table, sql: Mapping[str, str]) -> pa.Table:
    session.bind("operands", table.append_column("row_number", pa.array(range(table.num_rows))))
    listed = ", ".join(f"{expression} AS {name}" for name, expression in sql.items())
    return session.table(f"SELECT {listed} FROM operands ORDER BY row_number")


FAR = (
    LEAST + 1, GREATEST, GREATEST - 1, -9_223_372_022_400_000_000, -(2**62), 2**62, 253_402_300_800_000_000,
    -62_135_596_800_000_001,
)  # fmt: skip
"""Instants beyond the years that Python knows, as far as DuckDB goes, and those that stand for infinities."""


def test_far_instants_have_their_parts_and_infinite_ones_none(spark: SparkSession, session: Session, tmp_path: Path) -> None:
    asked = [one for one in ASKED["timestamp[us, UTC]",] if isinstance(one, Call)]
    compare(spark, session, tmp_path, asked, {"c0": (TIMESTAMP, [*FAR, None])})


LITERALS = (
    *TEXTS, "${env:HOME}", "${spark.master}", "$", "\\n", "\\\\'", "''", '"', "`", "--", "/* */", "a\nb", "\r", "\x7f",
    "\\u0041", ":x", "?", "{x}", "%s", "\u2028",
)  # fmt: skip
NAMES = (
    "a", "A", "odd name", "a.b", "a`b", "``", 'a"b', "größe", "${env:HOME}", "select", "*", ":x", "?", "a\\b", "--", "😀",
)  # fmt: skip


def test_a_text_is_what_stands_between_its_quotes(spark: SparkSession, tmp_path: Path) -> None:
    operands = Operands(spark, pa.table({"text": LITERALS}), tmp_path)
    same = {f"is_{i}": Call("equal", (Column("text"), Literal(text))) for i, text in enumerate(LITERALS)}
    found = operands.ask({name: scalars.condition(one, {"text": STRING}, scalars.quoted) for name, one in same.items()})
    for i, text in enumerate(LITERALS):
        assert found[f"is_{i}"].to_pylist() == [other == text for other in LITERALS], text


def test_a_column_may_have_any_name(spark: SparkSession, tmp_path: Path) -> None:
    operands = Operands(spark, pa.table({name: [i] for i, name in enumerate(NAMES)}), tmp_path)
    types = dict.fromkeys(NAMES, INT64)
    asked = {
        f"is_{i}": scalars.scalar(Call("add", (Column(n), Literal(0))), types, scalars.quoted, INT64)
        for i, n in enumerate(NAMES)
    }
    found = operands.ask(asked)
    assert [found[f"is_{i}"][0].as_py() for i in range(len(NAMES))] == list(range(len(NAMES)))


LISTS = (
    None, [], [None], [None, 1.0], [-float("inf")], [-1.0], [-1.0, None], [0.0], [-0.0, 1.0], [0.0, 2.0], [1.0], [float("inf")],
    [float("nan")], [float("nan"), float("nan")],
)  # fmt: skip
"""In the contract's order."""


@pytest.mark.parametrize("item", ["float", "double", "list<double>"])
def test_a_list_is_canonical_and_sorts_by_its_elements_a_prefix_first(item: str, spark: SparkSession, tmp_path: Path) -> None:
    dtype = parse_dtype(f"list<{item}>")
    values = [None if v is None else [v] for v in LISTS] if item.startswith("list") else list(LISTS)
    table = pa.table({"l": pa.array(values, dtype.arrow), "place": range(len(LISTS))}).take(
        Random(3).sample(range(len(LISTS)), len(LISTS))
    )
    operands = Operands(spark, table, tmp_path)
    canonical = scalars.canonical("l", dtype)
    found = operands.ask(
        {"place": "place", "l": canonical, "rank": f"rank() OVER (ORDER BY {scalars.sortable(canonical, dtype)})"}
    )
    found = found.sort_by("place")
    assert found["rank"].to_pylist() == list(range(1, len(LISTS) + 1))
    expected = [(r["l"]) for r in rows_of(table.sort_by("place"))]
    assert [repr(v) for v in found["l"].to_pylist()] == [repr(v) for v in expected]


@pytest.mark.parametrize("dtype", ["double", "float"])
def test_a_float_is_canonical(dtype: str, spark: SparkSession, tmp_path: Path) -> None:
    """Each NaN gets the bits of the one, and -0.0 loses its sign; the rest keeps every bit."""
    width = {"double": pa.int64(), "float": pa.int32()}[dtype]
    one_nan = pa.array([float("nan")], parse_dtype(dtype).arrow).view(width)[0].as_py()
    strange = [one_nan + 1, one_nan - 2**63 if dtype == "double" else one_nan - 2**31]
    plain = pa.array([v for v in POOLS[dtype] if v == v], parse_dtype(dtype).arrow)
    bits = pa.concat_arrays([plain.view(width), pa.array(strange, width)])
    found = Operands(spark, pa.table({"x": bits.view(plain.type)}), tmp_path).ask(
        {"x": scalars.canonical("x", parse_dtype(dtype))}
    )
    expected = [v + 0 if v else 0.0 for v in plain.to_pylist()]
    assert found["x"].combine_chunks().view(width).to_pylist() == [
        *pa.array(expected, plain.type).view(width).to_pylist(), one_nan, one_nan,
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(POOLS))
def test_a_column_comes_back_as_it_was(name: str, spark: SparkSession, tmp_path: Path) -> None:
    """The type Spark has for ours holds each of its values."""
    columns = drawn(Random(name), (name,))
    dtype, table = columns["c0"][0], table_of(columns)
    found = Operands(spark, table, tmp_path).ask({"x": f"CAST({scalars.canonical('c0', dtype)} AS {sql_type(dtype)})"})["x"]
    expected = [r["c0"] for r in rows_of(table)]
    assert [repr(v) for v in read_found(found.cast(dtype.arrow))] == [repr(v) for v in expected]
