"""A grid of tiles: facts are added up once per key and tile of time, and any stretch of time is whole tiles and two ends.

Every key has tiles of a length of its own, so that a few of its marks fall into each; all tiles of all keys are numbered
in one row, without gaps, key after key. Over that row, sorted, run totals and extremes of 1, 2, 4, … tiles, in one pass
and with no partition: what runs across two keys is never looked up. A stretch takes the totals of the tiles inside it by
equality on their numbers, and the marks of the tiles at its two ends raw.

Why not frames over each key's tiles: the engine's partitioned windows cost four to twenty times as much. What is not in
order where it must be stops the statement.

$first_instant and $last_instant bound the instants of marks; $per_tile says how many marks a tile should hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from featurestore.compiler.duckdb.windows.aggregations import BOTH
from featurestore.compiler.statement import Steps, listed

LEVELS = 14
"""Extremes of up to 2^13 tiles are kept, two of which cover a stretch of 2^14."""


@dataclass(frozen=True)
class Extreme:
    """The least or greatest of something: a column `e_{number}` of marks, and "min" or "max"."""

    number: int
    function: str

    @property
    def column(self) -> str:
        return f"e_{self.number}"

    def level(self, level: int) -> str:
        return f"e_{self.number}_{level}"


@dataclass(frozen=True)
class Stretch:
    """Instants in [t - low, t - high), or (…, …] with exact matches, among marks of a side; low None: from the beginning.

    low and high are SQL. sums and extremes: what is wanted over it, which comes out as `{column}_of_{number}`.
    """

    number: int
    low: str | None
    high: str
    sums: tuple[str, ...]
    extremes: tuple[Extreme, ...] = ()
    side: int = 0

    def total(self, column: str) -> str:
        return f"{column}_of_{self.number}"

    @property
    def wanted(self) -> list[tuple[str, str]]:
        """(function, column) of all that is wanted."""
        return [*(("sum", c) for c in self.sums), *((e.function, e.column) for e in self.extremes)]


@dataclass
class Grid:
    """The steps from `marks` (keys, side if there are sides, instant, and `carried`) to `stretches` (row_id, totals).

    values: column -> its SQL from what marks carry, for every column that a stretch wants.
    """

    steps: Steps
    keys: Sequence[str]
    carried: Sequence[str]
    values: Mapping[str, str]
    stretches: Sequence[Stretch]
    exact: bool
    sides: bool = False

    def add(self) -> None:
        self._add_lines()
        self._add_placed()
        self._add_tiles()
        self._add_running()
        self._add_asked()
        self._add_raw()
        self._add_stretches()

    @cached_property
    def _sums(self) -> list[str]:
        return list(dict.fromkeys(c for s in self.stretches for c in s.sums))

    @cached_property
    def _extremes(self) -> list[Extreme]:
        return list(dict.fromkeys(e for s in self.stretches for e in s.extremes))

    @cached_property
    def _line(self) -> list[str]:
        """What has tiles of its own: a key, on one side."""
        return [*self.keys, "side"] if self.sides else list(self.keys)

    def _valued(self) -> list[str]:
        wanted = [*self._sums, *(e.column for e in self._extremes)]
        return [f"{self.values[column]} AS {column}" for column in wanted]

    def _add_lines(self) -> None:
        line, keys = ", ".join(self._line), ", ".join(self.keys)
        self.steps.add(
            "counted",
            "the keys that are asked for, and how many marks each has",
            f"SELECT {line}, count(*) AS marks\nFROM marks SEMI JOIN (SELECT DISTINCT {keys} FROM spine) USING ({keys})\n"
            f"GROUP BY {line}",
        )
        self.steps.add(
            "sized",
            "the length of their tiles",
            f"SELECT {line}, ($last_instant - $first_instant) // greatest(least(marks // $per_tile, $most_tiles), 1)"
            " + 1 AS length\nFROM counted",
        )
        self.steps.add(
            "lines",
            "and the numbers of the first and last of their tiles, all in one row",
            f"SELECT {line}, length, CAST(sum(tiles) OVER in_a_row - tiles AS BIGINT) AS first_tile,\n"
            f"  CAST(sum(tiles) OVER in_a_row - 1 AS BIGINT) AS last_tile\n"
            "FROM (SELECT *, ($last_instant - $first_instant) // length + 1 AS tiles FROM sized)\n"
            f"WINDOW in_a_row AS (ORDER BY {line} ROWS UNBOUNDED PRECEDING)",
            materialized=True,
        )

    def _add_placed(self) -> None:
        own = ", ".join(["m.instant", *(f"m.{c}" for c in self.carried)])
        self.steps.add(
            "placed",
            "marks of those keys, and the tile each falls into",
            f"SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, {own}\n"
            f"FROM marks AS m JOIN lines AS l USING ({', '.join(self._line)})",
        )

    def _add_tiles(self) -> None:
        sums = [f"sum({c}) AS {c}" for c in self._sums]
        extremes = [f"{e.function}({e.column}) AS {e.column}" for e in self._extremes]
        self.steps.add(
            "tiles",
            "what the marks of each tile add up to; empty tiles too",
            f"SELECT\n{listed(['tile', *sums, *extremes])}\nFROM (\n"
            f"  SELECT\n  {listed(['tile', *self._valued()])}\n  FROM placed\n  UNION ALL BY NAME\n"
            "  SELECT unnest(range(first_tile, last_tile + 1)) AS tile FROM lines\n)\nGROUP BY tile",
        )

    def _add_running(self) -> None:
        columns = ["tile", "row_number() OVER () - 1 AS place"]
        columns += [f"sum(coalesce({c}, 0)) OVER (ROWS UNBOUNDED PRECEDING) AS {c}" for c in self._sums]
        columns += [f"{e.column} AS {e.level(0)}" for e in self._extremes]
        self.steps.add("level_0", "in order: running totals, and the extremes of each tile",
                       f"SELECT\n{listed(columns)}\nFROM (SELECT * FROM tiles ORDER BY tile)")  # fmt: skip
        source = "level_0"
        for level in range(1, LEVELS if self._extremes else 1):
            further = []
            for e in self._extremes:
                half = e.level(level - 1)
                further.append(f"{BOTH[e.function]}({half}, lag({half}, {2 ** (level - 1)}) OVER ()) AS {e.level(level)}")
            self.steps.add(f"level_{level}", f"the extremes of {2**level} tiles that end in each",
                           f"SELECT *, {', '.join(further)} FROM {source}")  # fmt: skip
            source = f"level_{level}"
        self.steps.add(
            "running",
            "every tile must have come in its place",
            f"SELECT * EXCLUDE (place), CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile "
            f"THEN error('tiles out of order') END AS in_order\nFROM {source}",
            materialized=True,
        )

    @cached_property
    def _highs(self) -> list[tuple[int, str]]:
        """(side, high) of all stretches: the instants at which they end, each once."""
        return list(dict.fromkeys((s.side, s.high) for s in self.stretches))

    def _high(self, stretch: Stretch) -> int:
        return self._highs.index((stretch.side, stretch.high)) + 1

    @cached_property
    def _bounded(self) -> list[Stretch]:
        return [s for s in self.stretches if s.low is not None]

    def _instant(self, distance: str) -> str:
        return "s.asked_at" if distance == "0" else f"s.asked_at - {distance}"

    def _tile(self, line: str, distance: str) -> str:
        """The tile of an instant; before all marks the first, after them the last."""
        inside = f"least(greatest({self._instant(distance)} - $first_instant, 0), $last_instant - $first_instant)"
        return f"{line}.first_tile + {inside} // {line}.length"

    def _add_asked(self) -> None:
        """The step `asked`: per spine row the tiles in which its stretches end and begin, and how many lie between."""
        columns, joins = ["s.row_id", "s.asked_at"], []
        for side in dict.fromkeys(s.side for s in self.stretches):
            same = [f"s.{k} = l{side}.{k}" for k in self.keys] + ([f"l{side}.side = {side}"] if self.sides else [])
            joins.append(f"LEFT JOIN lines AS l{side} ON {' AND '.join(same)}")
        columns += [f"{self._tile(f'l{side}', high)} AS high_{i}" for i, (side, high) in enumerate(self._highs, 1)]
        for s in self.stretches:
            low = f"l{s.side}.first_tile - 1" if s.low is None else self._tile(f"l{s.side}", s.low)
            columns.append(f"{low} AS low_{s.number}")
        inner = f"SELECT\n{listed(columns)}\nFROM spine AS s\n" + "\n".join(joins)
        self.steps.add("asked", "the tiles in which the stretches of each spine row end, and those in which they begin", inner)
        guesses = [f"CAST(ceil(log2(greatest(high_{self._high(s)} - low_{s.number} - 1, 1))) AS INTEGER) AS guess_{s.number}"
                   for s in self.stretches if s.extremes]  # fmt: skip
        levels = [f"CASE WHEN power(2, guess_{s.number}) > high_{self._high(s)} - low_{s.number} - 1 "
                  f"THEN greatest(guess_{s.number} - 1, 0) ELSE guess_{s.number} END AS level_{s.number}"
                  for s in self.stretches if s.extremes]  # fmt: skip
        source = "asked"
        if guesses:
            self.steps.add("guessed", "and the level of extremes that covers most of the tiles between",
                           f"SELECT *,\n{listed(guesses)}\nFROM asked")  # fmt: skip
            source = f"(\n  SELECT *,\n  {listed(levels)}\n  FROM guessed\n)"
        self.steps.add("leveled", "of two such runs of tiles neither is longer than that", f"SELECT * FROM {source}",
                       materialized=True)  # fmt: skip

    def _add_raw(self) -> None:
        """Marks of the tiles in which stretches end: of the last tile those before the end, of the first those from its
        beginning on, unless it is the last as well."""
        after, before = (">", "<=") if self.exact else (">=", "<")
        ends = [
            f"SELECT row_id, asked_at, CAST({i} AS UTINYINT) AS which, high_{i} AS tile, "
            f"CAST({-(2**62)} AS BIGINT) AS low, {self._instant(high).replace('s.', '')} AS high\nFROM leveled"
            for i, (_, high) in enumerate(self._highs, 1)
        ]
        ends += [
            f"SELECT row_id, asked_at, {len(self._highs) + s.number}, low_{s.number}, "
            f"{self._instant(s.low or '').replace('s.', '')}, {2**62}\nFROM leveled WHERE low_{s.number} < high_{self._high(s)}"
            for s in self._bounded
        ]
        self.steps.add("ends", "the ends of all stretches that need marks of their tile", "\nUNION ALL\n".join(ends))
        self.steps.add(
            "raw_pairs",
            "those marks",
            f"SELECT\n{listed(['row_id', 'asked_at', 'which', 'instant', *self._valued()])}\n"
            f"FROM ends JOIN placed USING (tile)\nWHERE instant {before} high AND instant {after} low",
        )
        columns = [f"{function}({column}) FILTER (WHERE {self._is_inside(s)}) AS {s.total(column)}"
                   for s in self.stretches for function, column in s.wanted]  # fmt: skip
        self.steps.add("raw", "per spine row what those add up to",
                       f"SELECT\n{listed(['row_id', *columns])}\nFROM raw_pairs\nGROUP BY row_id")  # fmt: skip

    def _is_inside(self, stretch: Stretch) -> str:
        """Whether a raw pair belongs to a stretch: it lies at its end, and not before its beginning; or at its beginning."""
        if stretch.low is None:
            return f"which = {self._high(stretch)}"
        after = ">" if self.exact else ">="
        end = f"which = {self._high(stretch)} AND instant {after} asked_at - {stretch.low}"
        inside = f"{end} OR which = {len(self._highs) + stretch.number}"
        return inside if stretch.high == "0" else f"({inside}) AND {stretch.low} > {stretch.high}"

    def _add_stretches(self) -> None:
        columns, joins = ["a.row_id"], []
        for i in range(1, len(self._highs) + 1):
            joins.append(f"LEFT JOIN running AS h{i} ON h{i}.tile = a.high_{i} - 1")
        for s in self.stretches:
            h, n = f"h{self._high(s)}", s.number
            between = f"a.high_{self._high(s)} - a.low_{n} > 1"
            if s.sums:
                joins.append(f"LEFT JOIN running AS l{n} ON l{n}.tile = a.low_{n}")
            if s.extremes:
                joins.append(f"LEFT JOIN running AS x{n} ON x{n}.tile = a.low_{n} + (CAST(1 AS BIGINT) << a.level_{n})")
            for c in s.sums:
                inner = f"CASE WHEN {between} THEN {h}.{c} - coalesce(l{n}.{c}, 0) ELSE 0 END"
                columns.append(f"{inner} + coalesce(r.{s.total(c)}, 0) AS {s.total(c)}")
            for e in s.extremes:
                one = " ".join(f"WHEN {i} THEN {h}.{e.level(i)}" for i in range(LEVELS))
                other = " ".join(f"WHEN {i} THEN x{n}.{e.level(i)}" for i in range(LEVELS))
                inner = (
                    f"CASE WHEN {between} THEN {BOTH[e.function]}(CASE a.level_{n} {one} END, CASE a.level_{n} {other} END) END"
                )
                columns.append(f"{BOTH[e.function]}({inner}, r.{s.total(e.column)}) AS {s.total(e.column)}")
        self.steps.add("stretches", "tiles inside and marks at the ends together",
                       f"SELECT\n{listed(columns)}\nFROM leveled AS a LEFT JOIN raw AS r USING (row_id)\n"
                       + "\n".join(joins))  # fmt: skip
