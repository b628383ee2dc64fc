"""Counts, sums, means and variances as whole numbers that only need to be added: the same bits from every plan.

A double v of a measure is read as the integer v · 2^k, where k comes from the data's least and greatest magnitude (:scale_i
is 2^k, :unscale_i is 2^-k; the engine gives them). Integers are whole already, and decimals once their point is taken out.
Spark has no integer of more than 64 bits that adds up fast, so a whole number is cut into limbs of W bits, each a BIGINT
with room for the sum over all facts of a key:

    n    values that are not NULL
    x0…  the limbs of the values, least first: x = x0 + x1 · 2^W + …
    q0…  the limbs of their squares, of which the two halves are exact: v² = p + e, where p is the product of doubles and e
         what it is off by
    y0…  the limbs of values read as doubles, whose squares those are, where they may differ from the values
    nan, pos, neg   how many are NaN, +inf, -inf

Differences of exact sums are exact, so a plan may add up whatever it likes and subtract. Only the end rounds: once for a
sum; for a variance, n·Σv² − (Σv)² is taken in numbers of two doubles each, good to 100 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from featurestore.compiler.spark.scalars import canonical, quoted
from featurestore.compiler.spark.types import sql_type
from featurestore.compiler.spark.windows.measured import is_whole, measure_name
from featurestore.compiler.statement import Steps, listed
from featurestore.dtypes import DOUBLE, INT64, DType
from featurestore.plan.nodes import Output, measure_of

SQUARED = {"var_samp": 1, "var_pop": 0, "stddev_samp": 1, "stddev_pop": 0}
"""Aggregate -> by how much its divisor is less than the count."""
MOMENTS = {"count", "sum", "mean", *SQUARED}
VALUE_BITS, ALL_BITS = 101, 125
"""How many bits a scaled value may have, and a sum of all of them: the longest decimal holds that."""
DOUBLE_BITS, WIDTH_MOST, ROOM = 53, 52, 61
"""Bits of a double; the widest limb, which a double holds; what a limb and its growth over a key's facts have together."""
_SPECIALS = {"nan": "isnan({m})", "pos": "{m} = CAST('Infinity' AS DOUBLE)", "neg": "{m} = CAST('-Infinity' AS DOUBLE)"}
_SPLIT = "134217729.0D"
"""2^27 + 1: a double less its product with this falls into halves whose products are exact."""


def adds(output: Output) -> bool:
    """Whether an output is made of terms whatever the data: all of MOMENTS but those of wide decimals. (Doubles of too wide a
    range are found by the engine, from the data.)"""
    aggregate, dtype = output.aggregate or "", measure_of(output).dtype
    if aggregate not in MOMENTS or not dtype.is_decimal or aggregate == "count":
        return aggregate in MOMENTS
    precision, scale = dtype.precision_scale
    return precision <= 28 and precision + scale <= 36


def default_bits(dtype: DType) -> int:
    """Bits of a measure's whole numbers where the data has not been looked at."""
    if dtype.is_decimal:
        return math.ceil(dtype.precision_scale[0] * math.log2(10))
    return {"double": 80, "uint64": 64}.get(dtype.name, 63)


def double(value: float) -> str:
    return f"{value!r}D"


class Limbs:
    """How the whole numbers of one measure are cut: into limbs of `width` bits."""

    def __init__(self, number: int, dtype: DType, bits: int, width: int) -> None:
        self.number, self.dtype, self.bits, self.width = number, dtype, bits, width
        self.values = max(-(-bits // width), 1)
        self.squares = max(-(-2 * bits // width), 1)
        self.shared = dtype == DOUBLE or bits <= DOUBLE_BITS

    def terms(self, aggregate: str, *, finite: bool) -> tuple[str, ...]:
        """The terms an aggregate of MOMENTS needs."""
        if aggregate == "count":
            return ("n",)
        special = tuple(_SPECIALS) if self.dtype == DOUBLE and not finite else ()
        values = self.value_terms if aggregate not in SQUARED else (*self.near_terms, *self.square_terms)
        return ("n", *special, *values)

    @property
    def value_terms(self) -> tuple[str, ...]:
        return tuple(f"x{j}" for j in range(self.values))

    @property
    def near_terms(self) -> tuple[str, ...]:
        """Those of the values as doubles."""
        return tuple(f"{'x' if self.shared else 'y'}{j}" for j in range(self.values))

    @property
    def square_terms(self) -> tuple[str, ...]:
        return tuple(f"q{j}" for j in range(self.squares))

    @property
    def in_one(self) -> bool:
        """A square is a BIGINT, of one limb."""
        return self.dtype != DOUBLE and 2 * self.bits <= self.width

    @property
    def has_errors(self) -> bool:
        """A product of doubles may be off."""
        return self.dtype == DOUBLE or 2 * self.bits > DOUBLE_BITS

    def term_sql(self, term: str) -> str:
        """A term of one fact, from the columns of the steps before; n from its measure."""
        if term in _SPECIALS:
            return f"CASE WHEN {_SPECIALS[term].format(m=measure_name(self.number))} THEN 1L END"
        kind, limb = term[0], int(term[1:])
        if kind == "q":
            if self.in_one:
                return f"whole_{self.number} * whole_{self.number}"
            parts = [f"product_{self.number}", *([f"off_{self.number}"] if self.has_errors else [])]
            return " + ".join(_of_double(p, limb, self.squares, self.width) for p in parts)
        if kind == "y":
            return _of_double(f"near_{self.number}", limb, self.values, self.width)
        whole = f"whole_{self.number}"
        if self.dtype == DOUBLE:
            return _of_double(whole, limb, self.values, self.width)
        cut = _of_decimal if _is_long(self.dtype) else _of_integer
        return cut(whole, limb, self.values, self.width)


def _is_long(dtype: DType) -> bool:
    """Its whole numbers do not fit 64 bits."""
    return dtype.name == "uint64" or (dtype.is_decimal and dtype.precision_scale[0] > 18)


def _of_double(value: str, limb: int, limbs: int, width: int) -> str:
    """Limbs that all have the sign of the value; `%` and powers of two are exact."""
    inside = value if limb == limbs - 1 else f"({value} % {double(2.0 ** ((limb + 1) * width))})"
    return f"CAST({inside if limb == 0 else f'{inside} * {double(2.0 ** (-limb * width))}'} AS BIGINT)"


def _of_integer(value: str, limb: int, limbs: int, width: int) -> str:
    """Limbs of which the greatest alone has a sign."""
    moved = f"shiftright({value}, {limb * width})" if limb else value
    return moved if limb == limbs - 1 else f"{moved} & {2**width - 1}L"


def _of_decimal(value: str, limb: int, limbs: int, width: int) -> str:
    """The same of decimals without a point."""
    low, high = f"{2 ** (limb * width)}BD", f"{2 ** ((limb + 1) * width)}BD"
    if limb == limbs - 1:
        return f"CAST(({value} - pmod({value}, {low})) DIV {low} AS BIGINT)" if limb else f"CAST({value} AS BIGINT)"
    return f"CAST(pmod({value}, {high}) DIV {low} AS BIGINT)"


def whole_sql(number: int, dtype: DType) -> str:
    """A measure's value as a whole number, NULL where it has none."""
    m = measure_name(number)
    if dtype == DOUBLE:
        return f"CASE WHEN abs({m}) < CAST('Infinity' AS DOUBLE) THEN {m} * :scale_{number} END"
    if dtype.is_decimal:
        kind = "DECIMAL(38, 0)" if _is_long(dtype) else "BIGINT"
        return f"CAST({m} * {10 ** dtype.precision_scale[1]}BD AS {kind})"
    return m


def count_name(number: int) -> str:
    """A fact's part in the count of a measure, as SQL."""
    return f"CASE WHEN {measure_name(number)} IS NOT NULL THEN 1L END"


def add_numbers(steps: Steps, source: str, measures: Sequence[Limbs], terms: Sequence[tuple[str, Limbs]]) -> str:
    """The steps from facts with measures to those with terms (`{term}_{number}`), but for counts. Returns: the last."""
    terms = [(term, limbs) for term, limbs in terms if term != "n"]
    whole = [m for m in measures if any(limbs is m and term not in _SPECIALS for term, limbs in terms)]
    squared = [m for m in whole if any(limbs is m and term[0] == "q" for term, limbs in terms) and not m.in_one]
    added = [
        ("wholes", "their values as whole numbers", [f"{whole_sql(m.number, m.dtype)} AS whole_{m.number}" for m in whole]),
        ("near", "the same as doubles", [f"CAST(whole_{m.number} AS DOUBLE) AS near_{m.number}" for m in squared]),
        ("halves", "their squares, and the upper halves of their digits", [
            sql for m in squared for v in [f"near_{m.number}"]
            for sql in (f"{v} * {v} AS product_{m.number}",
                        f"{_SPLIT} * {v} - ({_SPLIT} * {v} - {v}) AS half_{m.number}")
        ]),
        ("squares", "what those squares are off by", [f"{_off(m.number)} AS off_{m.number}" for m in squared]),
        ("numbers", "limbs of these, which add up without loss",
         [f"{m.term_sql(term)} AS {term}_{m.number}" for term, m in terms]),
    ]  # fmt: skip
    for name, note, columns in added:
        if columns:
            steps.add(name, note, f"SELECT *,\n{listed(columns)}\nFROM {source}")
            source = name
    return source


def _off(number: int) -> str:
    v, half, product = f"near_{number}", f"half_{number}", f"product_{number}"
    rest = f"({v} - {half})"
    return f"(({half} * {half} - {product}) + 2 * {half} * {rest}) + {rest} * {rest}"


class Cell:
    """The sums of one measure's terms over one window: what becomes of them. total: the column of a term's total."""

    def __init__(self, limbs: Limbs, place: int, total: Callable[[str], str], *, finite: bool) -> None:
        self.limbs, self.place, self.total, self.finite = limbs, place, total, finite
        self.name = f"{limbs.number}_{place}"

    def digits(self) -> list[str]:
        """Digits of the sum, least first, the greatest alone with a sign: what a limb has too much goes to the next."""
        width, carried, found = self.limbs.width, "", []
        for term in self.limbs.value_terms:
            sql = f"({self.total(term)}{carried})"
            found.append(f"{sql} & {2**width - 1}L")
            carried = f" + shiftright({sql}, {width})"
        return [*found[:-1], sql]

    def nearest(self) -> str:
        """The sum as the nearest double. Two doubles without a bit in common round once when added; what has too many bits
        for that goes by way of a decimal, which Spark reads right."""
        width, last = self.limbs.width, self.limbs.values - 1
        if last == 0:
            return f"CAST({self.total('x0')} AS DOUBLE)"
        top, unit = f"digit{last}_{self.name}", double(2.0**width)
        low = f"CAST(digit0_{self.name} AS DOUBLE)"
        far = f"CAST({self.as_decimal()} AS DOUBLE)"
        if last == 1:
            return f"CASE WHEN {_within(top, DOUBLE_BITS)} THEN CAST({top} AS DOUBLE) * {unit} + {low} ELSE {far} END"
        if last > 2:
            return far
        both = f"shiftleft({top}, {width}) + digit1_{self.name}"
        return f"CASE WHEN {_within(top, DOUBLE_BITS - width)} THEN CAST({both} AS DOUBLE) * {unit} + {low} ELSE {far} END"

    def as_decimal(self) -> str:
        """The sum as a decimal without a point."""
        last = self.limbs.values - 1
        if last == 0:
            return f"CAST({self.total('x0')} AS DECIMAL(38, 0))"
        sql = f"CAST(digit{last}_{self.name} AS DECIMAL(38, 0))"
        for j in range(last - 1, -1, -1):
            sql = f"({sql} * {2**self.limbs.width}BD + digit{j}_{self.name})"
        return f"CAST({sql} AS DECIMAL(38, 0))"

    def as_integer(self) -> str:
        """The sum as int64, NULL beyond."""
        width, last = self.limbs.width, self.limbs.values - 1
        if last == 0:
            return self.total("x0")
        if last > 1:
            return f"TRY_CAST({self.as_decimal()} AS BIGINT)"
        top = f"digit1_{self.name}"
        return f"CASE WHEN {_within(top, 63 - width)} THEN shiftleft({top}, {width}) | digit0_{self.name} END"

    def sum(self) -> str:
        """The exact sum as a double."""
        dtype = self.limbs.dtype
        if dtype.is_decimal:
            return f"CAST({self.as_point(dtype)} AS DOUBLE)"
        if dtype != DOUBLE:
            return self.nearest()
        found = f"{self.nearest()} * :unscale_{self.limbs.number}"
        if self.finite:
            return found
        nan, pos, neg = (f"coalesce({self.total(term)}, 0)" for term in _SPECIALS)
        return (
            f"CASE WHEN {nan} > 0 OR ({pos} > 0 AND {neg} > 0) THEN CAST('NaN' AS DOUBLE) "
            f"WHEN {pos} > 0 THEN CAST('Infinity' AS DOUBLE) WHEN {neg} > 0 THEN CAST('-Infinity' AS DOUBLE) "
            f"ELSE coalesce({found}, 0.0D) END"
        )

    def as_point(self, dtype: DType) -> str:
        """The sum of decimals, its point put back: only as text does Spark move a point without rounding."""
        scale = dtype.precision_scale[1]
        return f"CAST(concat(CAST({self.as_decimal()} AS STRING), 'E-{scale}') AS DECIMAL(38, {scale}))"

    def squares(self) -> tuple[str, str, str]:
        """Count, sum and sum of squares: a double, and numbers of two doubles."""
        return (
            f"CAST({self.total('n')} AS DOUBLE)",
            _in_doubles([self.total(t) for t in self.limbs.near_terms], self.limbs.width),
            _in_doubles([self.total(t) for t in self.limbs.square_terms], self.limbs.width),
        )


def _within(value: str, bits: int) -> str:
    return f"{value} BETWEEN {-(2**bits)}L AND {2**bits - 1}L"


def _in_doubles(limbs: Sequence[str], width: int) -> str:
    """A sum of limbs as two doubles, the second what the first is off by; greatest parts first."""
    parts = []
    for j, limb in reversed(list(enumerate(limbs))):
        parts.append(f"CAST(shiftright({limb}, 32) AS DOUBLE) * {double(2.0 ** (j * width + 32))}")
        parts.append(f"CAST({limb} & 4294967295L AS DOUBLE) * {double(2.0 ** (j * width))}")
    s = "(a.high + d)"
    off = f"((a.high - ({s} - ({s} - a.high))) + (d - ({s} - a.high)))"
    return (
        f"aggregate(array({', '.join(parts)}), named_struct('high', 0.0D, 'low', 0.0D), "
        f"(a, d) -> named_struct('high', {s}, 'low', a.low + {off}))"
    )


SPREAD = (
    ("parts", "the count, the sum and the sum of squares, the last two as two doubles each", (
        ("count", "{count}"), ("sum", "{sum}"), ("square", "{square}"),
    )),
    ("by_halves", "n·Σv² and (Σv)² as products of doubles, and the upper halves of the digits of their factors", (
        ("more", "count_{c} * square_{c}.high"), ("less", "sum_{c}.high * sum_{c}.high"),
        ("half_n", f"{_SPLIT} * count_{{c}} - ({_SPLIT} * count_{{c}} - count_{{c}})"),
        ("half_q", f"{_SPLIT} * square_{{c}}.high - ({_SPLIT} * square_{{c}}.high - square_{{c}}.high)"),
        ("half_s", f"{_SPLIT} * sum_{{c}}.high - ({_SPLIT} * sum_{{c}}.high - sum_{{c}}.high)"),
    )),
    ("off", "what those products are off by, with what the second doubles add", (
        ("more_off", "(((half_n_{c} * half_q_{c} - more_{c}) + half_n_{c} * (square_{c}.high - half_q_{c})) "
                     "+ (count_{c} - half_n_{c}) * half_q_{c}) + (count_{c} - half_n_{c}) * (square_{c}.high - half_q_{c}) "
                     "+ count_{c} * square_{c}.low"),
        ("less_off", "((half_s_{c} * half_s_{c} - less_{c}) + 2 * half_s_{c} * (sum_{c}.high - half_s_{c})) "
                     "+ (sum_{c}.high - half_s_{c}) * (sum_{c}.high - half_s_{c}) + 2 * sum_{c}.high * sum_{c}.low"),
    )),
    ("about", "n times the squares about the mean; nothing where no more is left than rounding leaves", (
        ("squares", "CASE WHEN (more_{c} - less_{c}) + (more_off_{c} - less_off_{c}) > more_{c} * "
                    f"{double(2.0**-96)} THEN (more_{{c}} - less_{{c}}) + (more_off_{{c}} - less_off_{{c}}) ELSE 0.0D END"),
    )),
)  # fmt: skip
"""How the squares about the mean come from sums: steps, each with columns from those before."""


def add_spread(steps: Steps, source: str, cells: Sequence[Cell]) -> str:
    """The steps to `squares_{cell}`, n times the squares about the mean. Returns: the last."""
    for name, note, columns in SPREAD:
        found = []
        for cell in cells:
            count, total, square = cell.squares()
            for column, sql in columns:
                found.append(f"{sql.format(count=count, sum=total, square=square, c=cell.name)} AS {column}_{cell.name}")
        steps.add(f"spread_{name}", note, f"SELECT *,\n{listed(found)}\nFROM {source}")
        source = f"spread_{name}"
    return source


def add_digits(steps: Steps, source: str, cells: Sequence[Cell]) -> str:
    """The step with the digits of sums that have several limbs. Returns: the last step."""
    columns = [f"{sql} AS digit{j}_{cell.name}" for cell in cells if cell.limbs.values > 1
               for j, sql in enumerate(cell.digits())]  # fmt: skip
    if not columns:
        return source
    steps.add("digits", "sums as digits, of which only the greatest has a sign",
              f"SELECT *,\n{listed(columns)}\nFROM {source}")  # fmt: skip
    return "digits"


def add_rounded(steps: Steps, source: str, cells: Sequence[Cell]) -> str:
    """The step with exact sums as doubles, `rounded_{cell}`. Returns: the last step."""
    columns = [f"{cell.sum()} AS rounded_{cell.name}" for cell in cells]
    if not columns:
        return source
    steps.add("rounded", "sums as the nearest doubles", f"SELECT *,\n{listed(columns)}\nFROM {source}")
    return "rounded"


def finished(output: Output, cell: Cell) -> list[str]:
    """Select items of an output in the final select, from `add_digits`, `add_rounded` and `add_spread` (NULL: no facts).

    Beside an integer sum that may overflow stands the flag `<name>__overflow`.
    """
    aggregate, name, dtype = output.aggregate or "", quoted(output.name), cell.limbs.dtype
    n = f"coalesce({cell.total('n')}, 0)"
    if aggregate == "count":
        return [f"CAST({n} AS BIGINT) AS {name}"]
    if aggregate == "sum" and output.dtype == INT64:
        fits = cell.as_integer()
        if cell.limbs.values == 1:
            return [f"CASE WHEN {n} > 0 THEN {fits} END AS {name}"]
        flag = quoted(f"{output.name}__overflow")
        return [f"CASE WHEN {n} > 0 THEN {fits} END AS {name}", f"{n} > 0 AND {fits} IS NULL AS {flag}"]
    if aggregate == "sum":
        found = f"CAST({cell.as_point(dtype)} AS {sql_type(output.dtype)})" if dtype.is_decimal else f"rounded_{cell.name}"
    elif aggregate == "mean":
        found = canonical(f"(rounded_{cell.name} / {cell.total('n')})", DOUBLE)
    else:
        found = _deviation(aggregate, cell)
    return [f"CASE WHEN {n} > {SQUARED.get(aggregate, 0)} THEN {found} END AS {name}"]


def _deviation(aggregate: str, cell: Cell) -> str:
    """Variance or standard deviation."""
    dtype, number, n = cell.limbs.dtype, cell.limbs.number, cell.total("n")
    found = f"squares_{cell.name} / CAST({n} AS DOUBLE) / CAST({n} - {SQUARED[aggregate]} AS DOUBLE)"
    if dtype == DOUBLE:
        found = f"{found} * :unscale_{number} * :unscale_{number}"
        if not cell.finite:
            special = " + ".join(f"coalesce({cell.total(term)}, 0)" for term in _SPECIALS)
            found = f"CASE WHEN {special} > 0 THEN CAST('NaN' AS DOUBLE) ELSE {found} END"
    elif dtype.is_decimal:
        found = f"{found} / {double(10.0 ** (2 * dtype.precision_scale[1]))}"
    return f"sqrt({found})" if aggregate.startswith("stddev") else found


__all__ = [
    "ALL_BITS", "MOMENTS", "SQUARED", "VALUE_BITS", "Cell", "Limbs", "add_digits", "add_numbers", "add_rounded",
    "add_spread", "adds", "count_name", "default_bits", "finished", "is_whole",
]  # fmt: skip
