"""Stretches of time over marks, and what all ways to tile time share: totals per tile, and the marks at the ends of stretches.

A way to tile (`Grid`, `Aligned`) turns the step `marks` (keys, instant, and `carried`) into `stretches` (row_id, totals).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from featurestore.compiler.duckdb.windows.aggregations import BOTH
from featurestore.compiler.statement import Steps, listed

LEVELS = 14
MOST_TILES = 2**LEVELS
"""Extremes of up to 2^14 tiles are kept: from the beginning one is enough, elsewhere two of half of that."""
NEAR_LEVELS = 11
FARTHEST = 2 ** (NEAR_LEVELS - 1)
"""How many rows back or ahead one look goes; what is farther takes several. (Beyond 2,047 the engine sorts everything.)"""


@dataclass(frozen=True)
class Extreme:
    """The least or greatest of something: a column `e_{number}` of marks, and "min" or "max"."""

    number: int
    function: str

    @property
    def column(self) -> str:
        return f"e_{self.number}"

    def before(self, level: int) -> str:
        """Over the 2^level tiles that end in one."""
        return f"before_{self.number}_{level}"

    def ahead(self, level: int) -> str:
        """Over the 2^level tiles that begin in one."""
        return f"ahead_{self.number}_{level}"


@dataclass(frozen=True)
class Stretch:
    """Instants in [t - low, t - high), or (…, …] with exact matches, among marks of a side; low None: from the beginning.

    low and high are SQL. sums and extremes: what is wanted over it, which comes out as `{column}_of_{number}`. levels: how
    often runs of tiles double for it at most.
    """

    number: int
    low: str | None
    high: str
    sums: tuple[str, ...]
    extremes: tuple[Extreme, ...] = ()
    side: int = 0
    levels: int = LEVELS

    def total(self, column: str) -> str:
        return f"{column}_of_{self.number}"

    @property
    def level(self) -> str:
        return f"level_{self.number}"

    def runs(self, extreme: Extreme) -> tuple[str, ...]:
        """Which runs of tiles it takes of an extreme."""
        return () if extreme not in self.extremes else ("before",) if self.low is None else ("before", "ahead")

    def picked(self, extreme: Extreme, side: str) -> str:
        return f"{self.total(extreme.column)}_{side}"


@dataclass(frozen=True)
class Value:
    """What a mark brings to a column: SQL from what marks carry.

    counted: the marks where it is not NULL are counted, else it is added up. whole: the type of its totals, where they are
    whole numbers below 2^53, which doubles add up as exactly and at less cost.
    """

    sql: str
    counted: bool = False
    whole: str | None = None


@dataclass
class Tiled:
    """What marks, stretches and values are. values: what marks bring to every column that a stretch wants."""

    steps: Steps
    keys: Sequence[str]
    carried: Sequence[str]
    values: Mapping[str, Value]
    stretches: Sequence[Stretch]
    exact: bool

    @cached_property
    def sums(self) -> list[str]:
        return list(dict.fromkeys(c for s in self.stretches for c in s.sums))

    @cached_property
    def extremes(self) -> list[Extreme]:
        return list(dict.fromkeys(e for s in self.stretches for e in s.extremes))

    @cached_property
    def highs(self) -> list[tuple[int, str]]:
        """(side, high) of all stretches: the instants at which they end, each once."""
        return list(dict.fromkeys((s.side, s.high) for s in self.stretches))

    def high(self, stretch: Stretch) -> int:
        return self.highs.index((stretch.side, stretch.high)) + 1

    def instant(self, distance: str, asked_at: str = "asked_at") -> str:
        return asked_at if distance == "0" else f"{asked_at} - {distance}"

    def _valued(self) -> list[str]:
        wanted = [*self.sums, *(e.column for e in self.extremes)]
        return [f"{self.values[column].sql} AS {column}" for column in wanted]

    def _added(self, column: str) -> str:
        """The aggregate that a column of totals is, over marks."""
        return f"{'count' if self.values[column].counted else 'sum'}({column})"

    def add_filled(self) -> None:
        """The step `filled`, from `placed`."""
        sums = [f"{self._added(c)} AS {c}" for c in self.sums]
        extremes = [f"{e.function}({e.column}) AS {e.column}" for e in self.extremes]
        self.steps.add(
            "filled",
            "what the marks of each tile add up to",
            f"SELECT\n{listed(['tile', *sums, *extremes])}\nFROM (\n"
            f"  SELECT\n  {listed(['tile', *self._valued()])}\n  FROM placed\n)\nGROUP BY tile",
        )

    def tile_total(self, column: str, filled: str = "f") -> str:
        """A tile's total, from `filled` under some name."""
        total = f"coalesce({filled}.{column}, 0)"
        return total if self.values[column].whole is None else f"CAST({total} AS DOUBLE)"

    def add_raw(self, ends: Sequence[tuple[str, str, str, Mapping[int, str]]]) -> None:
        """The step `raw`: what the marks add up to that lie in the tiles in which stretches end and begin.

        ends: of `asked` the tile, the bounds of instants in it as SQL, and number -> whether the stretch takes part.
        """
        after, before = (">", "<=") if self.exact else (">=", "<")
        names = {s.number: f"in_{s.number}" for s in self.stretches}
        selects = [
            f"SELECT row_id, {tile} AS tile, {low} AS low, {high} AS high, "
            + ", ".join(f"{flags.get(number, 'FALSE')} AS {name}" for number, name in names.items()) + "\nFROM asked"
            for tile, low, high, flags in ends
        ]  # fmt: skip
        self.steps.add("ends", "the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of",
                       "\nUNION ALL\n".join(selects))  # fmt: skip
        self.steps.add(
            "raw_pairs",
            "those marks",
            f"SELECT\n{listed(['row_id', *names.values(), *self._valued()])}\nFROM placed JOIN ends USING (tile)\n"
            f"WHERE instant {before} high AND instant {after} low",
        )
        columns = []
        for s in self.stretches:
            wanted = [*((self._added(c), c) for c in s.sums), *((f"{e.function}({e.column})", e.column) for e in s.extremes)]
            columns += [f"{aggregate} FILTER (WHERE in_{s.number}) AS {s.total(column)}" for aggregate, column in wanted]
        self.steps.add("raw", "per spine row what those add up to",
                       f"SELECT\n{listed(['row_id', *columns])}\nFROM raw_pairs\nGROUP BY row_id")  # fmt: skip

    def add_stretches(self, source: str) -> None:
        """The step `stretches`: what `source` has of the tiles inside, and `raw` of the marks at the ends, together."""
        done = []
        for s in self.stretches:
            for c in s.sums:
                total, whole = f"a.{s.total(c)} + coalesce(r.{s.total(c)}, 0)", self.values[c].whole
                done.append(f"{total if whole is None else f'CAST({total} AS {whole})'} AS {s.total(c)}")
            for e in s.extremes:
                column = s.total(e.column)
                done.append(f"{BOTH[e.function]}(a.{column}, r.{column}) AS {column}")
        both = f"{source} AS a LEFT JOIN raw AS r USING (row_id)"
        self.steps.add("stretches", "tiles inside and marks at the ends together",
                       f"SELECT\n{listed(['row_id', *done])}\nFROM {both}")  # fmt: skip
