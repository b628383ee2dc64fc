"""Counts, sums, means and variances as whole numbers that only need to be added: the same bits from every plan.

A double v of a measure is read as the integer v · 2^k, exact and in 128 bits, where k comes from the data's least and
greatest magnitude ($scale_i is 2^k, $unscale_i is 2^-k; the engine gives them). Integers and decimals need no scale.
What a window needs of a measure are terms, each a sum over its facts:

    n   values that are not NULL                       x   the values as integers
    s   NaN and infinities, counted in one number      aa, ab, bb   the squares of the values, in three parts:
                                                       x = a · 2^44 + b, x² = a² · 2^88 + 2ab · 2^44 + b²
    y   of decimals, whose x stays a decimal: the integer with the decimal point taken out

Differences of exact sums are exact, so a plan may add up whatever it likes and subtract. Only the end rounds: once for a
sum, and for a variance after the squares about the mean have been added up without loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from featurestore.compiler.duckdb.scalars import as_double, quoted
from featurestore.compiler.duckdb.types import sql_type
from featurestore.compiler.duckdb.windows.measured import measure_name
from featurestore.compiler.statement import Steps, listed
from featurestore.dtypes import DOUBLE, INT64, DType
from featurestore.plan.nodes import Measure, Output, measure_of

SQUARED = {"var_samp": 1, "var_pop": 0, "stddev_samp": 1, "stddev_pop": 0}
"""Aggregate -> by how much its divisor is less than the count."""
MOMENTS = {"count", "sum", "mean", *SQUARED}
VALUE_BITS, SQUARE_BITS, ALL_BITS = 101, 95, 125
"""How many bits a scaled value may have, one that is to be squared, and a sum of all of them."""
NARROW_BITS = 104
"""A sum of so many bits rounds to a double at less cost."""
_SPECIAL = 2**32
"""s counts NaN in units of 1, +inf in units of 2^32, -inf in units of 2^64."""

MACROS = (
    # A whole number of 128 bits as the nearest double, ties to even: the engine's own cast rounds its two halves apart.
    # Its low bits go, one of them kept to say whether any was set, until 63 are left, which the processor rounds right.
    "CREATE TEMP MACRO bits_beyond_63(p) AS CASE "
    + " ".join(f"WHEN p < {2 ** (63 + 8 * i)} THEN {8 * i}" for i in range(8))
    + " ELSE 64 END",
    "CREATE TEMP MACRO without_bits(p, s) AS CAST(CAST((p >> s) | CAST(p <> ((p >> s) << s) AS HUGEINT) AS BIGINT) AS DOUBLE)"
    " * CAST(CAST(1 AS HUGEINT) << s AS DOUBLE)",
    "CREATE TEMP MACRO nearest_double(p) AS without_bits(p, bits_beyond_63(p))",
    # Of up to 104 bits the cast, wrong in its last place at most, and what it is off by are two doubles; their sum rounds once.
    "CREATE TEMP MACRO narrow_double(x) AS CAST(x AS DOUBLE) + CAST(x - CAST(CAST(x AS DOUBLE) AS HUGEINT) AS DOUBLE)",
    f"CREATE TEMP MACRO exact_double(x) AS CASE WHEN x BETWEEN {-(2**NARROW_BITS)} AND {2**NARROW_BITS} THEN narrow_double(x) "
    "WHEN x < 0 THEN -nearest_double(-x) ELSE nearest_double(x) END",
    f"CREATE TEMP MACRO special_sum(s) AS CASE WHEN s % {_SPECIAL} > 0 OR (s // {_SPECIAL**2} > 0 AND (s // {_SPECIAL}) % "
    f"{_SPECIAL} > 0) THEN CAST('nan' AS DOUBLE) WHEN s >= {_SPECIAL**2} THEN CAST('-inf' AS DOUBLE) "
    "ELSE CAST('inf' AS DOUBLE) END",
    f"CREATE TEMP MACRO upper_part(v) AS ((v + {2**100}) >> 44) - {2**56}",
    f"CREATE TEMP MACRO lower_part(v) AS v - upper_part(v) * {2**44}",
)
"""What an engine defines on its connection before it runs a statement of windows."""


SQUARES = (
    ("m", "the whole number nearest to the mean",
     "CASE WHEN {x} >= 0 THEN (2 * {x} + {n}) // (2 * {n}) ELSE -(({n} - 2 * {x}) // (2 * {n})) END"),
    ("ma", "its upper part", "upper_part({m})"),
    ("mb", "its lower part, of 44 bits", "{m} - {ma} * 17592186044416"),
    ("r", "what is left of the sum", "{x} - {n} * {m}"),
    ("p2", "x² - n·m² - 2·m·r in units of 2^88", "{aa} - {n} * {ma} * {ma}"),
    ("p1", "in units of 2^44", "2 * ({ab} - {n} * {ma} * {mb}) - 2 * {ma} * {r}"),
    ("p0", "and of 1", "{bb} - {n} * {mb} * {mb} - 2 * {mb} * {r}"),
    ("c1", "what of p1 fills units of 2^88", f"(({{p1}} + {2**126}) >> 44) - {2**82}"),
    ("low", "the rest of it with p0", f"({{p1}} - {{c1}} * {2**44}) * {2**44} + {{p0}}"),
    ("c0", "what of that fills units of 2^88", f"(({{low}} + {2**125}) >> 88) - {2**37}"),
    ("q", "the squares about m in units of 2^88", "{p2} + {c1} + {c0}"),
    ("rest", "and of 1: from 0 to below 2^88", f"{{low}} - {{c0}} * {2**88}"),
)  # fmt: skip
"""How the squares about the mean are added up without loss: names, what they are, and their SQL, each from those above.

One step of a statement each: written as one expression, every name would stand for all that it is made of, many times.
"""


def adds(output: Output) -> bool:
    """Whether an output is made of terms that fit 128 bits whatever the data: all of MOMENTS but those of wide decimals.
    (Doubles of too wide a range are found by the engine, from the data.)"""
    aggregate, dtype = output.aggregate or "", measure_of(output).dtype
    if aggregate not in MOMENTS or not dtype.is_decimal or aggregate == "count":
        return aggregate in MOMENTS
    precision, scale = dtype.precision_scale
    return precision <= 28 and (aggregate not in SQUARED or precision + scale < 38)


def terms(aggregate: str, dtype: DType, *, finite: bool = False) -> tuple[str, ...]:
    """The terms an aggregate of MOMENTS needs of a measure. finite: it has neither NaN nor infinities."""
    if aggregate == "count":
        return ("n",)
    special = ("s",) if dtype == DOUBLE and not finite else ()
    if aggregate in SQUARED:
        return ("n", *special, "y" if dtype.is_decimal else "x", "aa", "ab", "bb")
    return ("n", *special, "x")


def term_sql(term: str, number: int, dtype: DType, *, small: bool = False) -> str:
    """A term of one fact, from its measure; NULL where that is, but n is 0 there. small: of integers of which a double
    holds any sum, which costs less than one of 128 bits."""
    m = measure_name(number)
    if term == "n":
        return f"CAST({m} IS NOT NULL AS BIGINT)"
    if term == "s":
        return (
            f"CASE WHEN isfinite({m}) THEN NULL WHEN isnan({m}) THEN CAST(1 AS HUGEINT) "
            f"WHEN {m} > 0 THEN {_SPECIAL} WHEN {m} < 0 THEN {_SPECIAL**2} END"
        )
    if term == "x" and dtype.is_decimal:
        return f"CAST({m} AS DECIMAL(38, {dtype.precision_scale[1]}))"
    if term == "x" and dtype == INT64:
        return f"CAST({m} AS DOUBLE)" if small else m  # which the engine adds up as HUGEINT
    whole = _whole(m, number, dtype)
    products = {"aa": ("upper", "upper"), "ab": ("upper", "lower"), "bb": ("lower", "lower")}
    return " * ".join(f"{part}_part({whole})" for part in products[term]) if term in products else whole


def _whole(m: str, number: int, dtype: DType) -> str:
    if dtype == DOUBLE:
        return f"CASE WHEN isfinite({m}) THEN CAST({m} * $scale_{number} AS HUGEINT) END"
    if dtype.is_decimal:
        scale = dtype.precision_scale[1]
        return f"CAST({m} * CAST({10**scale} AS DECIMAL({scale + 1}, 0)) AS HUGEINT)"
    return f"CAST({m} AS HUGEINT)"


def finished(
    output: Output, measure: Measure, number: int, total: Callable[[str], str], *, finite: bool = False, small: bool = False
) -> list[str]:
    """Select items of an output in the final select, from the total of each term over its window (NULL: no facts).

    Beside an integer sum that may overflow stands the flag `<name>__overflow`.
    """
    aggregate, name = output.aggregate or "", quoted(output.name)
    n = f"coalesce({total('n')}, 0)"
    if aggregate == "count":
        return [f"CAST({n} AS BIGINT) AS {name}"]
    if small and aggregate in ("sum", "mean"):
        found = f"CAST({total('x')} AS BIGINT)" if aggregate == "sum" else f"canonical_double({total('x')} / {n})"
        return [f"CASE WHEN {n} > 0 THEN {found} END AS {name}"]
    if aggregate == "sum" and output.dtype == INT64:
        fits, flag = f"TRY_CAST({total('x')} AS BIGINT)", quoted(f"{output.name}__overflow")
        return [f"CASE WHEN {n} > 0 THEN {fits} END AS {name}", f"{n} > 0 AND {fits} IS NULL AS {flag}"]
    if aggregate == "sum":
        found = _as_decimal(total("x"), output.dtype) if output.dtype.is_decimal else _sum(measure.dtype, total)
    elif aggregate == "mean":
        found = f"canonical_double({_sum(measure.dtype, total)} / {n})"
    else:
        found = _deviation(aggregate, measure.dtype, number, total, finite)
    return [f"CASE WHEN {n} > {SQUARED.get(aggregate, 0)} THEN {found} END AS {name}"]


def _as_decimal(sql: str, dtype: DType) -> str:
    return f"CAST({sql} AS {sql_type(dtype)})"


def _sum(dtype: DType, total: Callable[[str], str]) -> str:
    """The exact sum as a double."""
    if dtype.is_decimal:
        return as_double(total("x"), dtype)
    return total("sum") if dtype == DOUBLE else f"exact_double({total('x')})"


def add_sums(
    steps: Steps, source: str, cells: Sequence[tuple[int, int]], finite: frozenset[int], narrow: frozenset[int]
) -> str:
    """The step in which sums of doubles (measure, window) are rounded, once for all that is made of each: `sum_…`.

    finite, narrow: measures without NaN and infinities, and those of which no sum has more than NARROW_BITS.
    """
    columns = []
    for number, place in cells:
        rounded, x, s = "narrow_double" if number in narrow else "exact_double", f"x_{number}_{place}", f"s_{number}_{place}"
        found = f"{rounded}({x if number in finite else f'coalesce({x}, 0)'}) * $unscale_{number}"
        found = found if number in finite else f"CASE WHEN {s} > 0 THEN special_sum({s}) ELSE {found} END"
        columns.append(f"{found} AS sum_{number}_{place}")
    steps.add("rounded", "sums as the nearest doubles", f"SELECT *,\n{listed(columns)}\nFROM {source}", materialized=False)
    return "rounded"


def add_squares(steps: Steps, cells: Sequence[tuple[int, int, int, DType]], small: frozenset[int]) -> str:
    """The steps from `grouped` to squares about the mean, for cells (measure, that which counts its facts, window, type).
    small: measures whose x is a double. Returns: the last step."""
    source = "grouped"
    for name, note, sql in SQUARES:
        columns = []
        for number, counter, place, dtype in cells:
            known = {term: f"{term}_{number}_{place}" for term in ("aa", "ab", "bb", *(s[0] for s in SQUARES))}
            known["x"] = f"{'y' if dtype.is_decimal else 'x'}_{number}_{place}"
            if number in small:
                known["x"] = f"CAST({known['x']} AS HUGEINT)"
            known["n"] = f"nullif(n_{counter}_{place}, 0)"
            columns.append(f"{sql.format(**known)} AS {name}_{number}_{place}")
        steps.add(f"squares_{name}", note, f"SELECT *,\n{listed(columns)}\nFROM {source}", materialized=False)
        source = f"squares_{name}"
    return source


def _deviation(aggregate: str, dtype: DType, number: int, total: Callable[[str], str], finite: bool) -> str:
    """Variance or standard deviation: the squares about m, less n times the square of m's distance from the mean."""
    less, n = SQUARED[aggregate], total("n")
    squares = f"exact_double({total('q')}) * {2.0**88!r}::DOUBLE + exact_double({total('rest')})"
    squares = f"greatest({squares} - CAST({total('r')} AS DOUBLE) * CAST({total('r')} AS DOUBLE) / CAST({n} AS DOUBLE), 0.0)"
    found = f"{squares} / CAST({n} - {less} AS DOUBLE)"
    if dtype == DOUBLE:
        found = f"{found} * $unscale_{number} * $unscale_{number}"
        found = found if finite else f"CASE WHEN {total('s')} > 0 THEN CAST('nan' AS DOUBLE) ELSE {found} END"
    elif dtype.is_decimal:
        found = f"{found} / 1e{2 * dtype.precision_scale[1]}::DOUBLE"
    return f"sqrt({found})" if aggregate.startswith("stddev") else found
