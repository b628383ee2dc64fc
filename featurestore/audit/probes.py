"""Which questions a verification asks: keys, instants and request values, drawn by a seed.

Keys come from the online table and from the source files, so that a key too many and a key too few are both met; a few
come from neither, or are NULL. Instants are the watermark, now, others up to the horizon, and those at which something
turns for the key: e, e + w, e + o + w and e + ttl of its facts, each one microsecond before and after too.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count, cycle, islice
from random import Random
from typing import Any

import pyarrow as pa

from featurestore import plan as planning
from featurestore.compiler import duckdb as sql
from featurestore.dtypes import DType
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.duckdb.checks import pushed_to
from featurestore.intervals import Duration
from featurestore.online.codec import decode_key
from featurestore.online.generations import Generation
from featurestore.online.store import Snapshot
from featurestore.plan.nodes import OnlineState, StaticLookup
from featurestore.registry import BoundView
from featurestore.retrieval.spine import to_key
from featurestore.sources import SourceData

Key = tuple[Any, ...]
"""One value per join key as the store takes it: int, str, bool, days, bytes; None for NULL."""

LAST_INSTANT = 253_402_300_799_999_999
"""The end of the year 9999: later instants can be asked, but not written as a time."""
TIMES_PER_KEY = 64
_EPOCH_DAY = date(1970, 1, 1)


@dataclass(frozen=True)
class Probe:
    """One question: the service's key columns, the instant, the request. why: what the instant is, "" for any."""

    keys: Mapping[str, Any]
    t: int
    request: Mapping[str, Any]
    why: str = ""


@dataclass(frozen=True)
class Anchor:
    """A view around whose keys probes are drawn. bound and data are None where its source cannot be asked. known_before: facts
    known before it are online."""

    made: Generation
    columns: tuple[str, ...]
    bound: BoundView | None = None
    data: SourceData | None = None
    known_before: int = 0

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(key["family"] for key in self.made.view["keys"])


class Probes:
    """Draws `rows` probes for a service. low: the least instant that can be asked. now: the clock's."""

    def __init__(
        self,
        anchors: Sequence[Anchor],
        columns: Mapping[str, str],
        request: Mapping[str, DType],
        *,
        rows: int,
        seed: int,
        low: int,
        now: int,
        settings: Settings,
    ) -> None:
        self._anchors, self._columns, self._request = anchors, columns, request
        self._rows, self._low, self._now, self._settings = rows, low, now, settings
        self._rng = Random(f"verify {seed}")
        self._seed = seed

    def draw(self, snapshot: Snapshot) -> list[Probe]:
        """As many for each anchor. `snapshot` is the one whose answers are to be verified."""
        if not self._anchors:
            return [self._probe({}, t, why) for t, why in islice(self._plain(), self._rows)]
        share = -(-self._rows // len(self._anchors))
        found = [self._around(anchor, share, snapshot) for anchor in self._anchors]
        keys = {anchor.columns: [key for key, _, _ in drawn] for anchor, drawn in zip(self._anchors, found, strict=True)}
        probes = [
            self._probe(self._completed(anchor.columns, key, keys), t, why)
            for anchor, drawn in zip(self._anchors, found, strict=True)
            for key, t, why in drawn
        ]
        return probes[: self._rows]

    def _probe(self, keys: Mapping[str, Any], t: int, why: str) -> Probe:
        return Probe(keys, t, {name: self._value(dtype) for name, dtype in self._request.items()}, why)

    def _completed(self, columns: tuple[str, ...], key: Key, others: Mapping[tuple[str, ...], list[Key]]) -> dict[str, Any]:
        """A key of one view, and keys of other views for the columns it does not name."""
        whole = dict(zip(columns, key, strict=True))
        for names, known in others.items():
            for name, value in zip(names, self._rng.choice(known), strict=True):
                whole.setdefault(name, value)
        return {name: whole[name] for name in self._columns}

    # Keys.

    def _around(self, anchor: Anchor, rows: int, snapshot: Snapshot) -> list[tuple[Key, int, str]]:
        """(key, instant, why) for one view: every key in turn, now at an instant at which something turns, now at any."""
        plain = self._plain(anchor.made.horizon)
        strange, keys = list[Key](), list[Key]([()])
        if anchor.columns:
            strange = [self._strange(anchor.families) for _ in range(max(2, rows // 20))]
            keys = self._keys(anchor, max(1, rows // 2), snapshot)
        turns = self._turns(anchor, keys)
        drawn = [(key, *next(plain)) for key in strange]
        for number, key in enumerate(islice(cycle(keys), max(0, rows - len(drawn)))):
            mine = turns.get(key)
            odd = (number // len(keys) + number) % 2  # so that each key meets both kinds when its turn comes again
            t, why = mine.pop() if mine and odd else next(plain)
            drawn.append((key, t, why))
        return drawn[:rows]

    def _keys(self, anchor: Anchor, wanted: int, snapshot: Snapshot) -> list[Key]:
        """Half of them from the online table, spread evenly, half from the source files; each once, in a drawn order."""
        found = dict.fromkeys(self._stored(anchor, -(-wanted // 2), snapshot))
        if anchor.bound is not None and anchor.data is not None:
            found |= dict.fromkeys(self._named(anchor.bound, anchor.data, wanted))
        keys = list(found)[:wanted]
        self._rng.shuffle(keys)
        return keys

    def _stored(self, anchor: Anchor, wanted: int, snapshot: Snapshot) -> Iterator[Key]:
        """Keys of the table; those too long to be kept whole are met through the source."""
        there = snapshot.count(anchor.made.table)
        if not there:
            return
        step = max(1.0, there / wanted)
        places = {int(i * step + self._rng.random() * step) for i in range(min(wanted, there))}
        for place, (key, _) in enumerate(snapshot.scan(anchor.made.table)):
            if place in places and key[:1] == b"\0":
                yield tuple(_day(v) for v in decode_key(key[1:], anchor.families))

    def _named(self, bound: BoundView, data: SourceData, wanted: int) -> list[Key]:
        """Keys that rows of the source name, also those of no fact."""
        plan = planning.online_state(bound)
        with Session(self._settings) as session:
            bind(session, bound, data)
            table = session.table(sql.keys_read(plan), {"count": wanted, "seed": self._seed})
        return keys_of(table, len(bound.keys))

    def _strange(self, families: Sequence[str]) -> Key:
        """A key that most likely nobody has, now and then with a NULL in it."""
        return tuple(None if self._rng.random() < 0.3 else self._rng.choice(self._odd(family)) for family in families)

    def _odd(self, family: str) -> Sequence[Any]:
        number = self._rng.getrandbits(63)
        return {
            "integer": (number, -number, 2**63, 0),
            "text": ("", f"nobody {number:x}", "\0"),
            "bool": (True, False),
            "date": (number % 1_000_000, -1),
            "binary": (b"", number.to_bytes(8, "big"), b"\0"),
        }[family]

    # Instants.

    def _plain(self, horizon: int = 0) -> Iterator[tuple[int, str]]:
        """Instants without end, of no key in particular, and what they are."""
        reach = min(max(horizon, 1), LAST_INSTANT - self._low)
        fixed = {0: (self._low, "watermark"), 1: (max(self._now, self._low), "now")}
        for number in count():
            yield fixed.get(number % 8) or (self._low + self._rng.randrange(reach), "")

    def _turns(self, anchor: Anchor, keys: Sequence[Key]) -> dict[Key, list[tuple[int, str]]]:
        """Per key the instants from `low` on at which something turns, in a drawn order."""
        if anchor.bound is None or anchor.data is None:
            return {}
        plan = planning.online_state(anchor.bound)
        if isinstance(plan.facts, StaticLookup):
            return {}
        spans = spans_of(plan, anchor.bound)
        facts = times_of(
            plan, anchor.bound, anchor.data, keys, self._settings, known_before=anchor.known_before,
            horizon=anchor.made.horizon, since=self._low - max(spans) - 1, each=TIMES_PER_KEY, seed=self._seed,
        )  # fmt: skip
        turns: dict[Key, list[tuple[int, str]]] = {}
        for key, times in facts.items():
            found = [
                (e + span + near, f"{what}{_NEAR[near]}")
                for e in times
                for span, what in spans.items()
                for near in (-1, 0, 1)
                if self._low <= e + span + near <= LAST_INSTANT
            ]
            self._rng.shuffle(found)
            turns[key] = found
        return turns

    # Requests.

    def _value(self, dtype: DType) -> Any:
        """A value of a request column as it is stored: dates are days, times microseconds; sometimes NULL."""
        if self._rng.random() < 0.1:
            return None
        return self._rng.choice(self._values(dtype))

    def _values(self, dtype: DType) -> Sequence[Any]:
        rng = self._rng
        if dtype.is_integer:
            bits = int(dtype.name.lstrip("uint"))
            low, high = (0, 2**bits - 1) if dtype.name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            return (0, 1, low, high, rng.randint(low, high), rng.randint(max(low, -100), 100))
        if dtype.is_float:
            drawn = (rng.uniform(-1e3, 1e3), rng.lognormvariate(3, 2), rng.gauss(0, 1e9))
            numbers = (0.0, 1.0, math.nan, math.inf, -math.inf, *drawn, *drawn, round(drawn[1], 2))
            return [_narrow(n) for n in numbers] if dtype.name == "float" else numbers
        return {
            "bool": (True, False),
            "string": ("", "a", "Ä", f"text {rng.getrandbits(16):x}", str(rng.randint(-999, 999))),
            "binary": (b"", b"\0", rng.randbytes(4)),
            "date32": (0, -1, rng.randint(0, 40_000)),
            "timestamp[us, UTC]": (0, self._low, self._low - rng.randrange(10**13), self._low + rng.randrange(10**13)),
        }[dtype.name]


_NEAR = {-1: " - 1 µs", 0: "", 1: " + 1 µs"}


def around(e: int) -> dict[int, str]:
    """An event's instant and its neighbours, and what they are."""
    return {e + near: f"e{said}" for near, said in _NEAR.items()}


def spans_of(plan: OnlineState, bound: BoundView) -> dict[int, str]:
    """How long after its event a fact turns something, and what: {microseconds: "e + w"}."""
    spans = {0: "e"}
    for o in plan.windows:
        if o.offset:
            spans.setdefault(o.offset, f"e + o ({Duration(o.offset)})")
        if o.window is not None:
            what = f"e + o + w ({Duration(o.offset)} + {Duration(o.window)})" if o.offset else f"e + w ({Duration(o.window)})"
            spans.setdefault(o.window + o.offset, what)
    if bound.view.ttl is not None:
        spans[bound.view.ttl.micros] = f"e + ttl ({bound.view.ttl})"
    return spans


def times_of(
    plan: OnlineState, bound: BoundView, data: SourceData, keys: Sequence[Key], settings: Settings, **parameters: int
) -> dict[Key, list[int]]:
    """Event times of some facts of each key that has any; parameters as `sql.times_of_facts` takes them."""
    plan = planning.with_pushed(plan, pushed_to({data.source.name: data}))
    with Session(settings) as session:
        bind(session, bound, data)
        session.bind("touched", key_table(bound, keys))
        table = session.table(sql.times_of_facts(plan), {"known_shift": 0, **parameters})
    times: dict[Key, list[int]] = {}
    width = max(len(bound.keys), 1)
    for key, e in zip(keys_of(table, len(bound.keys)), table.column(width).to_pylist(), strict=True):
        times.setdefault(key, []).append(e)
    return times


def bind(session: Session, bound: BoundView, data: SourceData) -> None:
    """Make the rows of a view's source known to a session."""
    columns = bound.view.columns
    session.bind_source(data, columns, {c: bound.types[c] for c in columns})


def key_table(bound: BoundView, keys: Sequence[Key]) -> pa.Table:
    """Keys as a relation that statements can join: distinct, those with a NULL left out."""
    if not bound.keys:
        return pa.table({"key_all": pa.array([0], pa.int32())})
    known = [key for key in dict.fromkeys(keys) if None not in key]
    columns = {}
    for i, key in enumerate(bound.keys):
        values = key_array([k[i] for k in known], key.family)
        columns[f"key_{key.name}"] = to_key(values, key.column, key.dtype)
    return pa.table(columns)


def key_array(values: Sequence[Any], family: str) -> pa.Array:
    """Key values of a family as a column that can hold them all."""
    if family == "integer":
        wide = any(v is not None and not -(2**63) <= v < 2**63 for v in values)
        return pa.array(values, pa.decimal128(38, 0) if wide else pa.int64())
    if family == "date":
        return pa.array(values, pa.int32()).cast(pa.date32())
    return pa.array(values, {"text": pa.string(), "bool": pa.bool_(), "binary": pa.binary()}[family])


def keys_of(table: pa.Table, width: int) -> list[Key]:
    """The first `width` columns of a statement's answer as keys."""
    if not width:
        return [()] * table.num_rows
    columns = []
    for i in range(width):
        column = table.column(i)
        column = column.cast(pa.int32()) if pa.types.is_date(column.type) else column
        values = column.to_pylist()
        columns.append([int(v) for v in values] if pa.types.is_decimal(column.type) else values)
    return list(zip(*columns, strict=True))


def _day(value: Any) -> Any:
    return (value - _EPOCH_DAY).days if isinstance(value, date) else value


def _narrow(number: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


__all__ = [
    "LAST_INSTANT", "Anchor", "Key", "Probe", "Probes", "around", "bind", "key_array", "key_table", "keys_of", "spans_of",
    "times_of",
]  # fmt: skip
