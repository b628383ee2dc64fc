"""Draw definitions, rows and spines on which point-in-time engines go wrong.

A `World` is one definition and many small cases that share its source and spine: the case number is one more join key
(`case_no`), so that a hundred cases cost an engine one build. Times collide on purpose: with `as_of`, with ttl, windows,
offsets, delays and cut-offs before it, with a label's gap, window and maturity after it, and one microsecond to either
side. Values are those that break comparisons.

How far a source is known is a matter of all its rows, so a world with a label has one more row, of the case BEACON, that
is known last of all: each case and the beacon are a source as far known as the whole.

How rows lie in files, and who is compared with whom, is the test's business. Everything is drawn from one
`random.Random`, because drawing value by value is too slow for thousands of cases; `worlds` is the Hypothesis strategy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa

from featurestore import expressions
from featurestore.definitions import (
    AGGREGATES,
    ArrowSource,
    Entity,
    FeatureService,
    FeatureView,
    LabelView,
    OnDemandFeatureView,
    ParquetSource,
    agg,
    expect,
    latest,
)
from featurestore.definitions.aggregation import Aggregate, read_as
from featurestore.dtypes import BOOL, DATE, DOUBLE, INT64, STRING, TIMESTAMP, DType, from_arrow
from featurestore.intervals import Duration, parse_instant

Row = dict[str, Any]
"""One row of a source or spine: Python values by column; times are integer microseconds UTC."""

EVENT, CREATED, CASE = "happened", "loaded", "case_no"
BEACON = -1
"""The case number of the row that is known last."""
UNIX = pa.timestamp("us", "UTC")
FAR = parse_instant("2300-01-01T00:00:00Z")
"""Outside the default time range, so it counts as NULL."""
BASES = tuple(parse_instant(t) for t in (
    "2024-03-10T12:00:00Z",
    "1970-01-01T00:00:00Z",
    "1899-12-31T23:59:59Z",
    "2023-11-05T06:30:00Z",  # New York reads 01:30 twice on this day
    "2025-03-30T01:00:00Z",  # Paris skips from 02:00 to 03:00 here
))  # fmt: skip

VALUES: Mapping[str, tuple[pa.DataType, Sequence[Any]]] = {
    "v": (
        pa.float64(),
        (
            math.nan,
            math.inf,
            -math.inf,
            0.0,
            -0.0,
            1.0,
            1.0,
            2.0,
            0.1,
            0.2,
            0.3,
            -2.5,
            1e16,
            -1e16,
            1e308,
            1e308,
            -1e308,
            5e-324,
            1e-300,
        ),
    ),
    "f": (pa.float32(), (math.nan, math.inf, 0.0, -0.0, 1.5, 0.10000000149011612, 16777216.0, 1.0)),
    "n": (pa.int64(), (0, 1, 2, 3, -1, 2**53 + 1, 2**53, 2**58, -(2**58))),
    "small": (pa.int16(), (0, 1, 2, -3, 32767, -32768)),
    "u": (pa.uint64(), (0, 1, 2**63, 2**64 - 1, 2**53 + 1)),
    "s": (pa.string(), ("", "a", "A", "a ", "\u00e9", "e\u0301", "\U0001f600", "\uffff", "b", "\x00")),
    "status": (pa.string(), ("settled", "settled", "settled", "settled", "void", "Settled")),
    "b": (pa.bool_(), (True, False)),
    "d": (pa.decimal128(12, 2), tuple(Decimal(x) for x in ("0.00", "0.10", "-0.10", "9999999999.99", "2.50"))),
    "ts": (UNIX, (0, -1, 1, 1_700_000_000_000_001, -(10**15))),
    "day": (pa.date32(), (date(1970, 1, 1), date(1969, 12, 31), date(2024, 2, 29))),
    "blob": (pa.binary(), (b"", b"\x00", b"\xff", b"a")),
    "items": (pa.list_(pa.float64()), ([], [1.0], [1.0, None], [math.nan], [-0.0], [0.0, 2.0], [1.0, 2.0])),
}
"""Value columns: Arrow type, and the values worth meeting (NULL is added when drawn)."""

KEYS: Mapping[str, tuple[Sequence[pa.DataType], Sequence[pa.DataType], Sequence[Any]]] = {
    "integer": (
        (pa.int64(), pa.int64(), pa.uint64(), pa.decimal128(20, 0)),
        (pa.int64(), pa.decimal128(38, 0)),
        (1, 2, 2**53, 2**53 + 1, -1, 2**63 - 1),
    ),
    "narrow": ((pa.int8(), pa.int16(), pa.uint16()), (pa.int64(), pa.int32(), pa.uint64()), (1, 2, 127, 128, 65_537)),
    "text": (
        (pa.string(),),
        (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()),
        ("a", "A", "a ", "", "\u00e9", "e\u0301", "\U0001f600", "1", "1|1"),
    ),
    "bool": ((pa.bool_(),), (pa.bool_(),), (True, False)),
    "date": ((pa.date32(),), (pa.date32(), pa.date64()), (date(1970, 1, 1), date(1969, 12, 31), date(2024, 2, 29))),
    "binary": ((pa.binary(),), (pa.binary(), pa.large_binary()), (b"", b"\x00", b"a", b"\xff")),
}
"""Families of join keys: types in a source, types in a spine, values. A value its type cannot hold is drawn as NULL."""

LATEST = (
    *(f'latest("{c}")' for c in VALUES),
    'latest("n + small", name="{}")',
    'latest("v * 2.0 - n", name="{}")',
    """latest("upper(s) || '!'", name="{}")""",
    'latest("CASE WHEN b THEN v WHEN n > 1 THEN 0.5 END", name="{}")',
    'latest("coalesce(v, d)", name="{}")',
    'latest("n / small", name="{}")',
    'latest("greatest(v, n)", name="{}")',
    """latest("s IN ('a', 'b', NULL)", name="{}")""",
    'latest("v = 1.0 OR v > 0.2", name="{}")',
)
COMPUTED: Mapping[str, pa.DataType] = {
    "v + 0.1": pa.float64(), "n - small": pa.int64(), "upper(s) || '!'": pa.string(), "v > 0.2": pa.bool_(),
    "CASE WHEN b THEN v ELSE n END": pa.float64(),
}  # fmt: skip
"""Expressions that are aggregated, and their types."""
PARAMETERS: Mapping[str | None, Sequence[str]] = {
    None: ("",), "q": ("q=0.5, ", "q=0.9, ", "q=0.0, ", "q=1, ", "q=0.3333333333333333, "), "k": ("k=1, ", "k=2, ", "k=3, "),
}  # fmt: skip


def _templates(row: Aggregate) -> list[str]:
    """One aggregate over every column and expression that it takes, to be completed with window and name."""
    taken = {column: dtype for column, (dtype, _) in VALUES.items()} | dict(COMPUTED)
    if row.name == "sum":
        del taken["u"]  # two of its values leave int64, which stops a build
    columns = [f'"{c}", ' for c, t in taken.items() if row.result(read_as(from_arrow(t))) is not None]
    columns += [] if row.needs_input else [""] * len(columns)
    columns += ['"v", ', '"v", '] * ('"v", ' in columns)
    return [f'agg.{row.name}({c}{p}{{}}, name="{{}}")' for c in columns for p in PARAMETERS[row.parameter]]


SPREADS = ("var_samp", "var_pop", "stddev_samp", "stddev_pop")
"""Aggregates that the contract lets differ in their last bits."""
AGGREGATED: Mapping[str, Sequence[str]] = {row.name: _templates(row) for row in AGGREGATES.values()}
"""Aggregate -> features that use it, over columns of every type it takes."""
CONDITIONS = (
    "status = 'settled'",
    "status = 'settled'",
    "v > 0.2",
    "v <> 1.0",
    "b",
    "n IS NOT NULL AND n >= 0",
    "NOT b OR v IS NULL",
)

EXPECTATIONS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    'expect.between("v", -2.5, 2.0, {})': ("v", lambda x: x is None or -2.5 <= x <= 2.0),
    'expect.between("v", None, 1e16, {})': ("v", lambda x: x is None or x <= 1e16),
    'expect.between("v", 0, {})': ("v", lambda x: x is None or not x < 0),
    'expect.between("f", 0.0, 2, {})': ("f", lambda x: x is None or 0.0 <= x <= 2),
    'expect.between("n", -1, 2**53, {})': ("n", lambda x: x is None or -1 <= x <= 2**53),
    'expect.one_of("small", [0, 1.0, -3, 32767], {})': ("small", lambda x: x in (None, 0, 1, -3, 32767)),
    'expect.between("u", 0, 2**53 + 1, {})': ("u", lambda x: x is None or x <= 2**53 + 1 or x >= 2**63),
    'expect.between("d", 0, 2.5, {})': ("d", lambda x: x is None or 0 <= x <= Decimal("2.50")),
    """expect.one_of("status", ["settled", "void"], {})""": ("status", lambda x: x in (None, "settled", "void")),
    'expect.matches("s", "[a-zA-Z]*", {})': ("s", lambda x: x is None or all(c in "abA" for c in x)),
    'expect.matches("s", ".?", {})': ("s", lambda x: x is None or len(x) <= 1),
    'expect.one_of("day", [date(2024, 2, 29)], {})': ("day", lambda x: x in (None, date(2024, 2, 29))),
    'expect.one_of("b", [True], {})': ("b", lambda x: x in (None, True)),
    'expect.between("ts", "1970-01-01T00:00:00Z", {})': ("ts", lambda x: x is None or x >= 0),
    'expect.between("day", "1970-01-01", "2024-02-28", {})': ("day", lambda x: x in (None, date(1970, 1, 1))),
    **{f'expect.not_null("{c}", {{}})': (c, lambda x: x is not None) for c in ("v", "s", "n", "blob", "items")},
}  # fmt: skip
"""Expectations, the column each reads, and which of its values are as expected, in plain Python. What int64 does not hold is
read as NULL."""

REQUESTED = ("v", "f", "n", "small", "s", "b", "ts", "day", "blob")
"""Columns of VALUES that a request may bring as well, under the name `asked_…`."""
ON_DEMAND = (
    "{number} / {number}",
    "{number} / nullif({number}, 0)",
    "{number} * 2.5 - {number}",
    "{integer} + {integer}",
    "{integer} * {integer}",
    "{integer} % {integer}",
    "-{integer}",
    "coalesce({number}, -1.5)",
    "coalesce({integer} / {integer}, {number})",
    "greatest({number}, {number}, 0.5)",
    "sqrt({number})",
    "CAST({double} AS BIGINT)",
    "CASE WHEN {bool} THEN {number} WHEN {number} > 0 THEN {number} / {number} END",
    "{number} = {number} OR {any} IS NULL",
    "{integer} <> 0 AND 1 / {integer} < {number}",
    "{text} || '\u00e9'",
    "CAST({text} AS DOUBLE)",
    "{text} < {text}",
    "{any} IS NOT NULL",
    "epoch_us(as_of) - epoch_us({time})",
    "hour({time}) + isodow(as_of)",
    "CAST({time} AS DATE)",
    "CAST({date} AS TIMESTAMPTZ) < as_of",
    "{any}",
)
"""On-demand features, with holes for operands by what a computation takes them for. {any} is every column."""
_HOLES: Mapping[str, Callable[[DType], bool]] = {
    "number": lambda t: t in (INT64, DOUBLE), "integer": lambda t: t == INT64, "double": lambda t: t == DOUBLE,
    "text": lambda t: t == STRING, "bool": lambda t: t == BOOL, "time": lambda t: t == TIMESTAMP, "date": lambda t: t == DATE,
    "any": lambda t: True,
}  # fmt: skip

KINDS: Mapping[str, Callable[[Random, int], Row]] = {
    "at_once": lambda rng, unit: {},
    "delayed": lambda rng, unit: {"delay": _span(rng, unit)},
    "created": lambda rng, unit: {"created_timestamp": CREATED},
    "created_or_event": lambda rng, unit: {
        "created_timestamp": CREATED, "created_null": "event", **({"delay": _span(rng, unit)} if rng.random() < 0.6 else {}),
    },
    "versions": lambda rng, unit: {
        "created_timestamp": CREATED, "row_key": [CASE, "rid"], **({"row_order": "seq"} if rng.random() < 0.25 else {}),
    },
    "versions_deleted": lambda rng, unit: {
        "created_timestamp": CREATED, "row_key": [CASE, "rid"], "deleted": "gone",
        **({"row_order": "seq"} if rng.random() < 0.25 else {}),
    },
    "versions_delayed": lambda rng, unit: {
        "row_key": [CASE, "rid"], **({"delay": _span(rng, unit)} if rng.random() < 0.7 else {}),
        "deleted": "gone",
    },
    "static": lambda rng, unit: {"static": True},
}  # fmt: skip
"""Kinds of source, each with the options that make it one."""


@dataclass(frozen=True)
class Key:
    """A join key: its name, the columns that hold it, their types, and the values drawn."""

    name: str
    source_column: str
    spine_column: str
    source_type: pa.DataType
    spine_type: pa.DataType
    values: Sequence[Any]


@dataclass(frozen=True)
class OnDemand:
    """An on-demand view `asked` over instances of the view, given as text. request: of the spine's columns of those names."""

    inputs: str
    request: Mapping[str, pa.DataType]
    features: Mapping[str, str]

    @property
    def text(self) -> str:
        request = {name: from_arrow(dtype).name for name, dtype in self.request.items()}
        arguments = f"inputs=[{self.inputs}], request={request!r}, features={dict(self.features)!r}"
        return f'asked = OnDemandFeatureView(name="asked", {arguments})\n'


@dataclass(frozen=True)
class Definition:
    """One view and service, as text that runs: `source`, `view` and `label` (if any) hold keyword arguments that vary."""

    kind: str
    keys: tuple[Key, ...]
    source: Mapping[str, Any]
    view: Mapping[str, Any]
    features: tuple[str, ...]
    services: tuple[str, ...]
    columns: Mapping[str, pa.DataType]
    label: str = ""
    on_demand: OnDemand | None = None
    expectations: tuple[str, ...] = ()

    def text(self, where: str) -> str:
        """Python that defines `service`; `where` is the source's `path=…` or `table=…`."""
        maker = "ArrowSource" if where.startswith("table=") else "ParquetSource"
        times = {} if self.kind == "static" else {"event_timestamp": EVENT}
        source = _arguments({**times, **self.source, "allow_left_out": True})
        if self.expectations:
            source += f", expectations=[{', '.join(self.expectations)}]"
        view = _arguments(self.view)
        features = "".join(f"    {f},\n" for f in self.features)
        labels = _asked_by("label", self.keys)
        asked = "" if self.on_demand is None else self.on_demand.text
        services = (*self.services, *(["asked"] if asked else []))
        return (
            f'thing = Entity(name="thing", join_keys={[k.name for k in self.keys]!r})\n'
            f'facts = {maker}(name="facts", {where}, {source})\n'
            f'view = FeatureView(name="view", entities=[thing], source=facts{", " if view else ""}{view}, features=[\n'
            f"{features}])\n{asked}"
            + (f'label = LabelView(name="label", entities=[thing], source=facts, {self.label})\n' if self.label else "")
            + f'service = FeatureService(name="service", features=[{", ".join(services)}]'
            + (f", labels=[{labels}])\n" if self.label else ")\n")
        )

    def service(self, *, path: str | None = None, table: pa.Table | None = None) -> FeatureService:
        """The definition, over files or a table."""
        names: dict[str, Any] = {
            "Entity": Entity, "ArrowSource": ArrowSource, "ParquetSource": ParquetSource, "FeatureView": FeatureView,
            "OnDemandFeatureView": OnDemandFeatureView, "FeatureService": FeatureService, "LabelView": LabelView, "agg": agg,
            "date": date, "expect": expect, "latest": latest, "rows": table,
        }  # fmt: skip
        exec(self.text("table=rows" if path is None else f"path={path!r}"), names)
        found: FeatureService = names["service"]
        return found

    @property
    def source_columns(self) -> list[str]:
        """The columns of the source's files: those the views read, and one that nobody does."""
        service = self.service(table=pa.table({}))
        read = (c for i in (*service.instances, *service.labels) for c in i.view.columns)
        return [*dict.fromkeys(read), "decoy"]

    @property
    def spine_types(self) -> dict[str, pa.DataType]:
        """The spine's columns; the last one is nobody's business and must come back unchanged."""
        request = {} if self.on_demand is None else self.on_demand.request
        return {k.spine_column: k.spine_type for k in self.keys} | {"as_of": UNIX, **request, "note": pa.string()}


@dataclass(frozen=True)
class World:
    """A definition and its cases. rows and spine carry the case number in `case_no`.

    known_before and serving_lag (µs) are cut-offs that some created times meet.
    """

    definition: Definition
    rows: tuple[Row, ...] = field(repr=False)
    spine: tuple[Row, ...] = field(repr=False)
    known_before: int
    serving_lag: int


def worlds(kind: str, cases: int = 100) -> Any:
    """The Hypothesis strategy of worlds of one of KINDS. Shrinking acts on the seed alone, which means little."""
    from hypothesis import strategies as st

    return st.integers(0, 2**64 - 1).map(lambda seed: world(Random(f"{kind}/{seed}"), kind, cases))


def expecting(rng: Random, drawn: World) -> tuple[World, tuple[Row, ...]]:
    """The world with one or two expectations that send rows to quarantine, and its rows that are as expected."""
    chosen: dict[str, str] = {}
    for text in rng.sample(list(EXPECTATIONS), rng.choice((1, 2))):
        chosen.setdefault(EXPECTATIONS[text][0], text)
    # What is known last must not be set aside.
    clear = {column: None for column, text in chosen.items() if "not_null" not in text}
    rows = tuple(row | clear if row[CASE] == BEACON else row for row in drawn.rows)
    kept = tuple(row for row in rows if all(EXPECTATIONS[text][1](row[column]) for column, text in chosen.items()))
    texts = tuple(text.format('action="quarantine"') for text in chosen.values())
    return replace(drawn, definition=replace(drawn.definition, expectations=texts), rows=rows), kept


def asked_at_once(rng: Random, drawn: World) -> World:
    """The world with all rows of its spine asking at one instant: each case is moved in time, so that one of its instants comes
    to lie there, and its other rows ask there too."""
    at = rng.choice(drawn.spine)["as_of"]
    instants: dict[int, list[int]] = {}
    for row in drawn.spine:
        instants.setdefault(row[CASE], []).append(row["as_of"])
    moved = {case: at - rng.choice(of_case) for case, of_case in instants.items()}
    moved[BEACON] = max(0, *moved.values())  # it stays the last to be known

    def later(row: Row) -> Row:
        by = moved.get(row[CASE], 0)
        return row | {c: row[c] + by for c in (EVENT, CREATED) if row.get(c) not in (None, FAR)}

    return replace(drawn, rows=tuple(map(later, drawn.rows)), spine=tuple(row | {"as_of": at} for row in drawn.spine))


def window_worlds(aggregate: str, cases: int = 100) -> Any:
    """Worlds of any kind but static, whose windows are all of one aggregate."""
    from hypothesis import strategies as st

    def drawn(seed: int) -> World:
        rng = Random(f"{aggregate}/{seed}")
        kinds = [kind for kind in KINDS if kind != "static"]
        if AGGREGATES[aggregate].by_time:
            kinds = [kind for kind in kinds if "created_timestamp" in KINDS[kind](rng, 1)]
        return world(rng, rng.choice(kinds), cases, (aggregate,) * 5)

    return st.integers(0, 2**64 - 1).map(drawn)


def world(rng: Random, kind: str, cases: int, aggregates: Sequence[str] = ()) -> World:
    """A world of `cases` cases; its windows take these aggregates, or a few of all."""
    unit = rng.choice((1, 10, 1_000, 10**6, 3_600 * 10**6))
    spans = sorted(rng.sample(range(2, 14), 4))
    made = _Drawing(rng, kind, unit, tuple(s * unit for s in spans), rng.choice(BASES), aggregates)
    definition = made.definition()
    rows: list[Row] = []
    spine: list[Row] = []
    for case in range(cases):
        for target, drawn in zip((rows, spine), made.case(definition), strict=True):
            target += [{CASE: case, **row} for row in drawn]
    if definition.label:
        made.look_ahead(definition, rows, spine)
    return World(definition, tuple(rows), tuple(spine), made.known_before, made.lag)


class _Drawing:
    """One world in the making: its durations, and the instants around which everything happens."""

    def __init__(
        self, rng: Random, kind: str, unit: int, spans: tuple[int, ...], base: int, aggregates: Sequence[str] = ()
    ) -> None:
        self.rng, self.kind, self.unit, self.base, self.aggregates = rng, kind, unit, base, aggregates
        self.ttl, self.short, self.offset, self.long = rng.sample(spans, 4)
        self.by_time = any(AGGREGATES[name].by_time for name in aggregates)
        self.ends: list[int] = []  # how long before t the windows begin and end
        self.lag = rng.choice((1, self.short, self.offset))
        self.known_before = base + rng.choice((0, 1, self.short, -self.short))
        self._begin_label()

    def _begin_label(self) -> None:
        """Whether there is a label, and its lengths. All about labels is drawn from a source of its own, so that all else
        is drawn as it would be without."""
        self.later = rng = Random(repr(self.rng.getstate()))
        self.gap, self.ahead = rng.choice((0, 0, 1, self.offset)), rng.choice((self.short, self.short, self.long))
        self.settle = rng.choice((0, 0, 1, self.short))
        # A label's beacon lies so far off that aligned tiles of short windows would be too many, so few worlds of windows have
        # one; but those of aggregates by time, which have no such tiles, need a label's facts.
        self.labelled = self.kind != "static" and rng.random() < (0.4 if self.aggregates and not self.by_time else 0.8)

    def definition(self) -> Definition:
        rng = self.rng
        source = KINDS[self.kind](rng, self.unit)
        self.delay = int(source["delay"][:-2]) if "delay" in source else 0
        view: Row = {}
        if self.kind != "static":
            if rng.random() < 0.9:
                view["ttl"] = _spelled(self.ttl)
            if rng.random() < 0.4:
                view["allow_exact_matches"] = True
        if rng.random() < (0.85 if "versions" in self.kind else 0.1 if self.aggregates else 0.4):
            view["where"] = CONDITIONS[0] if rng.random() < 0.6 else rng.choice(CONDITIONS)
        keys = self._keys()
        mapped = {k.name: k.source_column for k in keys if k.source_column != k.name}
        if mapped:
            view["join_key_map"] = mapped
        columns = {CASE: pa.int32(), **{k.source_column: k.source_type for k in keys}, "decoy": pa.string()}
        columns |= {name: dtype for name, (dtype, _) in VALUES.items()}
        if self.kind != "static":
            columns |= {EVENT: UNIX, CREATED: UNIX, "rid": rng.choice((pa.int64(), pa.string())), "gone": pa.bool_()}
            columns["seq"] = rng.choice((pa.int64(), pa.float64()))
        drawn = self._features(), self._services(keys)
        label = self._label(source, view) if self.labelled else ""
        return self._with_on_demand(Definition(self.kind, keys, source, view, *drawn, columns, label))

    def _label(self, source: Row, view: Row) -> str:
        """The arguments of the world's label view."""
        rng = self.later
        options: Row = {"join_key_map": view["join_key_map"]} if "join_key_map" in view else {}
        if rng.random() < 0.6 and "where" in view:
            options["where"] = view["where"]
        if self.gap or rng.random() < 0.5:
            options["gap"] = _spelled(self.gap)
        if "created_timestamp" in source or rng.random() < 0.6:
            options["settle"] = _spelled(self.settle)
        else:
            self.settle = self.delay
        window: Row = {"window": _spelled(self.ahead)}
        if rng.random() < 0.25:
            window["where"] = rng.choice(CONDITIONS)
        name = "count" if rng.random() < 0.3 else rng.choice([a for a in AGGREGATED if not a.startswith("time_since")])
        label = rng.choice(AGGREGATED[name]).format(_arguments(window), "y")
        return f"{_arguments(options)}{', ' if options else ''}label={label}"

    def look_ahead(self, definition: Definition, rows: list[Row], spine: list[Row]) -> None:
        """Add the beacon, rows that ask for a label about when it becomes mature, and facts about its window's ends."""
        rng = self.later
        known = [t for row in rows for t in (row[CREATED], row[EVENT]) if t is not None and t < FAR]
        # Beyond what any layout makes of the other times (an hour that a clock repeats), on a whole millisecond.
        at = (max((*known, self.base)) + self.delay) // 10**6 * 10**6 + 2 * 3_600 * 10**6
        rows.append(self._beacon(definition) | {EVENT: at, CREATED: at})
        self.last = at if "created_timestamp" in definition.source else at + self.delay
        for row in [r for r in spine if rng.random() < 0.4]:
            limit = rng.choice((self.last, self.known_before))
            t = limit - self.gap - self.ahead - self.settle + rng.choice((-1, 0, 1, self.ahead // 2))
            spine.append({**row, "as_of": t})
            mine = [r for r in rows if r[CASE] == row[CASE]]
            instants = [t] * (rng.random() < 0.8) + [row["as_of"]] * (rng.random() < 0.2)
            keys = {k.source_column: self._held(row[k.spine_column], k.source_type) for k in definition.keys[1:]}
            for instant in instants if mine else ():
                new = {"rid": self._numbered(definition, len(rows))} if rng.random() < 0.7 else {}
                rows += self._about_the_ends(instant, rng.choice(mine) | keys | new)

    def _beacon(self, definition: Definition) -> Row:
        """A row that no view leaves out, but for its times."""
        held = {k.source_column: [self._held(v, k.source_type) for v in k.values] for k in definition.keys[1:]}
        keys = {column: next(v for v in values if v is not None) for column, values in held.items()}
        values = {c: pool[0] for c, (_, pool) in VALUES.items()}
        rid = self._numbered(definition, 0)
        return {CASE: BEACON, **keys, **values, "decoy": "x", "rid": rid, "seq": 0, "gone": False}

    def _about_the_ends(self, t: int, fact: Row) -> list[Row]:
        """The fact, moved to about an end of the label's window at t; of a versioned source perhaps corrected after it."""
        rng = self.later
        end = t + self.gap + self.ahead
        e = min(rng.choice((t + self.gap, end)) + rng.choice((-1, 0, 1, 1)), self.last - self.delay)
        k = min(rng.choice((e, e + self.settle, self.known_before - 1)), self.last)
        moved = [fact | {EVENT: e, CREATED: k}]
        if "versions" in self.kind and rng.random() < 0.7:
            later = {EVENT: min(rng.choice((e, end)), self.last - self.delay), "gone": rng.choice((True, False))}
            moved.append(fact | later | {CREATED: min(end + rng.choice((0, 1, self.short)), self.last)})
        return moved

    def _with_on_demand(self, plain: Definition) -> Definition:
        """Half of the definitions get an on-demand view; the service then lists all of its inputs, some, or others.

        It is drawn from a source of its own, so that all else is drawn as it would be without.
        """
        self.own = rng = Random(plain.text("table=rows") + str(self.base))
        if rng.random() < 0.5:
            return plain
        first, (bound, *_) = plain.services[0], plain.service(table=pa.table({})).instances
        types = {column: from_arrow(dtype) for column, dtype in plain.columns.items()}
        known = {name: f.result_type(types) for name, f in bound.features}
        hidden = rng.choice(("", "", "", "own_"))
        request = {f"asked_{c}": VALUES[c][0] for c in rng.sample(REQUESTED, rng.choice((1, 2, 3)))}
        # Of what may differ in its last bits nothing is computed that would have to be the same bit by bit.
        readable = {hidden + name: known[name] for name, f in bound.features if f.aggregate not in SPREADS}
        readable |= {name: from_arrow(dtype) for name, dtype in request.items()} | {"as_of": TIMESTAMP}
        filled = [t for t in (_filled(rng, t, readable) for t in rng.sample(ON_DEMAND, len(ON_DEMAND))) if t][:4]
        inputs = f'{first}.with_prefix("own_")' if hidden else first
        listed = f"{first}[{rng.sample(list(known), rng.randrange(1, len(known) + 1))!r}]"
        services = (listed if not hidden and rng.random() < 0.6 else first, *plain.services[1:])
        asked = OnDemand(inputs, request, {f"made_{i}": text for i, text in enumerate(filled)})
        return replace(plain, services=services, on_demand=asked)

    def _keys(self) -> tuple[Key, ...]:
        rng = self.rng
        keys = [Key(CASE, CASE, CASE, pa.int32(), rng.choice((pa.int64(), pa.int32())), ())]
        least = int("versions" in self.kind or self.kind == "static")
        for name in ("key", "second")[: rng.choice((least, 1, 1, 1, 2))]:
            source_types, spine_types, values = KEYS[rng.choice(list(KEYS))]
            column = rng.choice((name, "the " + name))
            few = rng.sample(list(values), min(len(values), 4))
            keys.append(Key(name, column, name, rng.choice(source_types), rng.choice(spine_types), few))
        if len(keys) > 1 and rng.random() < 0.25:
            keys[1] = replace(keys[1], spine_column="asked " + keys[1].name)
        return tuple(keys)

    def _features(self) -> tuple[str, ...]:
        rng = self.rng
        drawn = rng.sample(LATEST, rng.choice((1, 2, 3)))
        if not any(f.startswith(('latest("v")', 'latest("s")', 'latest("n")')) for f in drawn):
            drawn.append(rng.choice(('latest("v")', 'latest("s")', 'latest("n")')))
        features = [f.format(f"x{i}") for i, f in enumerate(drawn)]
        if self.kind == "static":
            return tuple(features)
        for i, name in enumerate(self.aggregates or rng.sample(list(AGGREGATED), rng.choice((3, 4, 5)))):
            of_doubles = [f for f in AGGREGATED[name] if '("v", ' in f] if self.aggregates and i == 0 else []
            features.append(rng.choice(of_doubles or AGGREGATED[name]).format(self._window(i), f"w{i}"))
        return tuple(features)

    def _window(self, number: int) -> str:
        """The first window is short and ends at t, the second ends at an offset, the others are any."""
        rng = self.rng
        length = (
            (self.long if self.aggregates else self.short)
            if number == 0
            else rng.choice((self.short, self.long, None)[: 2 if number == 1 else 3])
        )
        options: Row = {"window": None if length is None else _spelled(length)}
        offset = self.offset if number == 1 or (number > 1 and rng.random() < 0.4) else 0
        if offset:
            options["offset"] = _spelled(offset)
        self.ends += [distance for distance in (offset, None if length is None else offset + length) if distance]
        if rng.random() < 0.25:
            options["where"] = rng.choice(CONDITIONS)
        return _arguments(options)

    def _services(self, keys: tuple[Key, ...]) -> tuple[str, ...]:
        first = _asked_by("view", keys)
        if self.rng.random() < 0.2:
            return (first, f'{first}.with_prefix("again_")')
        return (first,)

    def case(self, definition: Definition) -> tuple[list[Row], list[Row]]:
        """(source rows, spine rows) of one case, without its number."""
        rng = self.rng
        live = [{k.name: self._key(k) for k in definition.keys[1:]} for _ in range(rng.choice((1, 1, 2)))]
        first = self.base + rng.choice((0, 0, 1, -1, self.short))
        steps = (0, 1, -1, self.short, -self.short, self.ttl, self.long)
        instants = [first, *(first + rng.choice(steps) for _ in range(rng.choice((1, 2, 3, 4))))]
        spine = []
        for t in instants:
            named = self._picked(live, definition)
            row = {k.spine_column: self._held(named[k.name], k.spine_type) for k in definition.keys[1:]}
            spine.append(row | {"as_of": t, "note": rng.choice(("x", None, ""))} | self._brought(definition))
        if self.kind == "static":
            return self._static_rows(definition), spine
        # Half of the cases gather a few rows at one distance before as_of, so that nothing newer hides that edge.
        self.gathered = None
        if rng.random() < (0.2 if self.aggregates else 0.7):
            self.gathered = self.ttl if not self.ends or rng.random() < 0.4 else rng.choice(self.ends)
        self.near = rng.choice((0, -1, 1, -1, 1))
        rows: list[Row] = []
        many: Sequence[int] = (3, 6, 9, 12) if "versions" in self.kind or self.aggregates else (0, 3, 5, 7, 9, 11)
        if self.gathered is not None:  # versions of one fact are few facts
            many = (4, 5, 6, 7) if "versions" in self.kind else (2, 3, 4)
        for _ in range(rng.choice(many)):
            rows.append(self._row(definition, live, rng.choice(instants), rows))
        return rows, spine

    def _brought(self, definition: Definition) -> Row:
        """What a request brings for on-demand features."""
        asked = {} if definition.on_demand is None else definition.on_demand.request
        pools = {name: VALUES[name.removeprefix("asked_")][1] for name in asked}
        return {name: None if self.own.random() < 0.15 else self.own.choice(pool) for name, pool in pools.items()}

    def _key(self, key: Key) -> Any:
        return self.rng.choice(list(key.values))

    def _picked(self, live: list[Row], definition: Definition) -> Row:
        """One of the case's keys; now and then another or none in one of its columns."""
        picked = dict(self.rng.choice(live))
        if len(definition.keys) > 1 and self.rng.random() < 0.2:
            key = self.rng.choice(definition.keys[1:])
            picked[key.name] = self._any(key)
        return picked

    def _any(self, key: Key) -> Any:
        return None if self.rng.random() < 0.5 else self._key(key)

    @staticmethod
    def _held(value: Any, dtype: pa.DataType) -> Any:
        """The value if the type can hold it, else NULL."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value if pa.types.is_decimal(dtype) or fits(value, dtype) else None
        return value

    def _static_rows(self, definition: Definition) -> list[Row]:
        """At most one row per key, and rows without one."""
        rows: dict[Any, Row] = {}
        for _ in range(self.rng.choice((0, 1, 2, 4))):
            named = self._picked([{k.name: self._key(k) for k in definition.keys[1:]}], definition)
            row = {k.source_column: self._held(named[k.name], k.source_type) for k in definition.keys[1:]}
            known = tuple(row.values())
            rows.setdefault(known if None not in known else len(rows), row | self._values())
        return list(rows.values())

    def _row(self, definition: Definition, live: list[Row], t: int, earlier: list[Row]) -> Row:
        rng = self.rng
        if earlier and rng.random() < 0.12:
            return dict(rng.choice(earlier))
        named = self._picked(live, definition)
        row = {k.source_column: self._held(named[k.name], k.source_type) for k in definition.keys[1:]}
        row |= self._values()
        row |= {
            EVENT: self._event(t),
            "rid": self._rid(definition, len(earlier)),
            "seq": rng.choice((None, 0, 1, 1, 2)),
        }
        row["gone"] = rng.random() < 0.03
        row[CREATED] = self._created(row[EVENT], t)
        if earlier and rng.random() < (0.6 if "versions" in self.kind or self.aggregates else 0.35):
            row |= self._shared(rng.choice(earlier), definition)
        elif earlier and rng.random() < (0.5 if "versions" in self.kind else 0.25):
            row |= self._late(rng.choice(earlier), definition)
        return row

    def _late(self, other: Row, definition: Definition) -> Row:
        """A row of another's key that happened before it and became known after it."""
        if other[EVENT] in (None, FAR) or other[CREATED] in (None, FAR):
            return {}
        keys = {k.source_column: other[k.source_column] for k in definition.keys[1:]}
        return keys | {EVENT: other[EVENT] - self.rng.choice((1, self.unit)), CREATED: other[CREATED] + self.rng.choice((0, 1))}

    def _shared(self, other: Row, definition: Definition) -> Row:
        """What a row takes from an earlier one, so that ties, late rows and corrections are common."""
        rng = self.rng
        keys = [k.source_column for k in definition.keys[1:]]
        if "versions" in self.kind and rng.random() < 0.75:
            taken = ["rid", EVENT, *keys]
            if rng.random() < 0.6:  # a version that moves the fact
                taken.remove(rng.choice(keys) if keys and rng.random() < 0.7 else EVENT)
            deletion = {"gone": rng.choice((True, True, None, False, False))}
        else:
            taken, deletion = [EVENT, *keys, *([CREATED] if rng.random() < (0.3 if self.by_time else 0.6) else [])], {}
        shared = {c: other[c] for c in taken} | deletion
        if rng.random() < 0.3:
            shared |= {c: other[c] for c in rng.sample(list(VALUES), 8)}
        for key in definition.keys[1:]:
            if key.source_column not in shared:
                shared[key.source_column] = self._held(self._key(key), key.source_type)
        return shared

    def _rid(self, definition: Definition, n: int) -> Any:
        value = self.rng.choice((None, 0, 1)) if self.rng.random() < 0.3 else n
        return None if value is None else self._numbered(definition, value)

    @staticmethod
    def _numbered(definition: Definition, number: int) -> Any:
        """A row id of the type that the world's are of."""
        return number if pa.types.is_integer(definition.columns["rid"]) else f"r{number}"

    def _values(self) -> Row:
        rng = self.rng
        values = {c: None if rng.random() < 0.15 else rng.choice(pool) for c, (_, pool) in VALUES.items()}
        return values | {"decoy": "x"}

    def _event(self, t: int) -> int | None:
        rng = self.rng
        chance = rng.random()
        if chance < 0.05:
            return None
        if chance < 0.06:
            return FAR
        if self.gathered is not None:
            return t - self.gathered + (self.near if rng.random() < 0.6 else rng.choice((0, -1, 1)))
        if chance < 0.2:
            return t - rng.randrange(2 * self.long)
        far = (
            0, 0, 0, self.ttl, self.ttl, self.short, self.offset, self.long, self.offset + self.short, *self.ends, self.delay,
        )  # fmt: skip
        distance = rng.choice(far)
        return t - distance + rng.choice((0, 0, -1, 1) if distance else (0, -1, -1, 1))

    def _created(self, e: int | None, t: int) -> int | None:
        rng = self.rng
        chance = rng.random()
        if chance < 0.08:
            return None
        if chance < 0.10:
            return FAR
        if chance < (0.5 if self.gathered is None else 0.8) and e is not None:
            return e + rng.choice((0, 0, 1, self.short, self.long))
        near_lag = tuple(t - self.lag + step for step in (-1, 0, 1))
        near_cutoff = (self.known_before, self.known_before - 1)
        return rng.choice((t, t, t - 1, t + 1, t - self.short, *near_lag, *near_cutoff, t + self.long))


def _filled(rng: Random, template: str, readable: Mapping[str, DType]) -> str | None:
    """The template with a column in each hole; None where no column fits."""
    text = template
    for hole, fitting in _HOLES.items():
        while "{" + hole + "}" in text:
            names = [name for name, dtype in readable.items() if fitting(expressions.widened(dtype))]
            if not names:
                return None
            text = text.replace("{" + hole + "}", rng.choice(names), 1)
    return text


def _asked_by(view: str, keys: Sequence[Key]) -> str:
    """The view as the spine's columns ask for it."""
    asked = {k.name: k.spine_column for k in keys if k.spine_column != k.name}
    return f"{view}.with_join_key_map({asked!r})" if asked else view


def fits(value: int, dtype: pa.DataType) -> bool:
    """Whether an integer type holds the value."""
    bits = dtype.bit_width
    low, high = (0, 2**bits - 1) if pa.types.is_unsigned_integer(dtype) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return bool(low <= value <= high)


def _span(rng: Random, unit: int) -> str:
    return _spelled(rng.choice((1, unit, 3 * unit)))


def _spelled(micros: int) -> str:
    return f"{Duration(micros).micros}us"


def _arguments(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items())
