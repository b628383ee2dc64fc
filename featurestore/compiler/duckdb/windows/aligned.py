"""Aligned tiles: every key has the same tiles, of one length that goes into every stretch without a rest.

So a stretch ends a constant number of tiles, its hops, after the tile in which it begins, and what it holds whole follows
for each tile from rows a constant number back: totals of all tiles before it less those before its first; extremes of the
greatest power of two of tiles that fits into it, once up to its last and once from its first. One look-up per spine row
brings all of it. Before the first mark and after the last every key has as many empty tiles as the longest stretch has hops,
so that no stretch reaches into another key's tiles. What is not in order where it must be stops the statement.

$first_instant and $last_instant bound the instants of marks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from featurestore.compiler.duckdb.windows.aggregations import BOTH
from featurestore.compiler.duckdb.windows.stretches import FARTHEST, Stretch, Tiled
from featurestore.compiler.statement import listed


@dataclass
class _Even(Tiled):
    """What both have in common. length: of a tile in microseconds; hops: of each stretch, by its number."""

    length: int
    hops: Mapping[int, int]

    @cached_property
    def _most(self) -> int:
        return max(self.hops.values())

    @cached_property
    def _before(self) -> int:
        """The time of the empty tiles before the first mark: one more than hops, which is where rows before it look."""
        return (self._most + 1) * self.length

    def _add_lines(self) -> None:
        keys = ", ".join(self.keys)
        tiles = f"(($last_instant - $first_instant) // {self.length} + {2 * self._most + 3})"
        self.steps.add(
            "lines",
            "the keys that are asked for, and the first of each one's tiles: they are numbered in one row",
            f"SELECT *, (row_number() OVER () - 1) * {tiles} AS first_tile, {tiles} AS tiles\n"
            f"FROM (SELECT DISTINCT {keys} FROM spine)",
            materialized=True,
        )

    def _add_placed(self, tile: str) -> None:
        """The step `placed`. tile: the number of a mark's tile, from the number {} of the stretch of time it falls into."""
        own = ", ".join(["m.instant", *(f"m.{c}" for c in self.carried)])
        number = f"(l.first_tile + (m.instant - $first_instant + {self._before}) // {self.length})"
        self.steps.add(
            "placed",
            "marks of those keys, and the tile each falls into",
            f"SELECT {tile.format(number)} AS tile, {own}\nFROM marks AS m JOIN lines AS l USING ({', '.join(self.keys)})",
            materialized=False,
        )

    def _add_asked(self) -> None:
        """The step `asked`: per spine row the tiles in which its stretches end; empty ones of its key, far from its marks."""
        columns = ["s.row_id", "s.asked_at"]
        first, last = self._most * self.length, f"$last_instant - $first_instant + {self._before + self._before}"
        for i, (_, high) in enumerate(self.highs, 1):
            since = f"{self.instant(high, 's.asked_at')} - $first_instant + {self._before}"
            columns.append(f"l.first_tile + least(greatest({since}, {first}), {last}) // {self.length} AS high_{i}")
        same = " AND ".join(f"s.{key} = l.{key}" for key in self.keys)
        self.steps.add("asked", "the tiles in which the stretches of each spine row end",
                       f"SELECT\n{listed(columns)}\nFROM spine AS s JOIN lines AS l ON {same}", materialized=True)  # fmt: skip

    _in_order = "CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') ELSE tile END"

    def _add_chain(self, source: str, name: str, farthest: Mapping[str, int], backs: dict[tuple[str, int], str]) -> str:
        """Steps in which columns are looked back for, FARTHEST rows each. backs: (column, multiple) -> what holds it."""
        backs |= {(column, 0): column for column in farthest}
        for multiple in range(1, max(((d - 1) // FARTHEST for d in farthest.values()), default=0) + 1):
            columns = []
            for column in (c for c, distance in farthest.items() if (distance - 1) // FARTHEST >= multiple):
                backs[column, multiple] = f"{column}_back_{multiple}"
                columns.append(f"lag({backs[column, multiple - 1]}, {FARTHEST}) OVER () AS {backs[column, multiple]}")
            self.steps.add(f"{name}_{multiple}", f"{multiple * FARTHEST} tiles back",
                           f"SELECT *,\n{listed(columns)}\nFROM {source}")  # fmt: skip
            source = f"{name}_{multiple}"
        return source

    def _back(self, column: str, distance: int, backs: Mapping[tuple[str, int], str]) -> str:
        """A column so many rows back."""
        if not distance:
            return column
        multiple = (distance - 1) // FARTHEST
        return f"lag({backs[column, multiple]}, {distance - multiple * FARTHEST}) OVER ()"


@dataclass
class Aligned(_Even):
    """The steps from `marks` to `stretches`, of bounded stretches."""

    def add(self) -> None:
        self._add_lines()
        self._add_placed("{}")
        self.add_filled()
        self._add_tiles()
        self._add_running()
        self._add_inside()
        self._add_asked()
        self._add_ends()
        self._add_looked_up()

    def _add_tiles(self) -> None:
        columns = ["tile", *(f"{self.tile_total(c)} AS {c}" for c in self.sums), *(f"f.{e.column}" for e in self.extremes)]
        self.steps.add(
            "tiles",
            "all tiles, empty ones too",
            f"SELECT\n{listed(columns)}\n"
            "FROM (SELECT unnest(range(first_tile, first_tile + tiles)) AS tile FROM lines) LEFT JOIN filled AS f USING (tile)",
        )

    def _add_running(self) -> None:
        columns = ["tile", "row_number() OVER () - 1 AS place"]
        columns += [f"sum({c}) OVER (ROWS UNBOUNDED PRECEDING) - {c} AS {c}" for c in self.sums]
        columns += [f"{e.column} AS {e.before(0)}" for e in self.extremes]
        self.steps.add("running_0", "in order: what all tiles before each add up to, and the extremes of each",
                       f"SELECT\n{listed(columns)}\nFROM (SELECT * FROM tiles ORDER BY tile)")  # fmt: skip

    def _level(self, stretch: Stretch) -> int:
        """Twice 2^level tiles cover those inside a stretch; -1 where there are none."""
        return (self.hops[stretch.number] - 1).bit_length() - 1

    def _add_inside(self) -> None:
        """The steps in which runs of tiles double, and `inside`: what every stretch that ends in a tile holds whole."""
        source = "running_0"
        for level in range(1, max((self._level(s) for s in self.stretches if s.extremes), default=0) + 1):
            source = self._add_level(level, source)
        backs: dict[tuple[str, int], str] = {}
        source = self._add_far(source, backs)
        columns = [f"{self._in_order} AS tile"]
        for s in self.stretches:
            hops, level = self.hops[s.number], self._level(s)
            columns += [f"{c} - {self._back(c, hops - 1, backs)} AS {s.total(c)}" for c in s.sums]
            for e in s.extremes:
                sql = f"CASE WHEN FALSE THEN {e.before(0)} END"
                if level >= 0:
                    run = e.before(level)
                    sql = f"{BOTH[e.function]}({self._back(run, 1, backs)}, {self._back(run, hops - 2**level, backs)})"
                columns.append(f"{sql} AS {s.total(e.column)}")
        self.steps.add("inside", "what stretches that end in a tile hold of those before it, from their second on",
                       f"SELECT\n{listed(columns)}\nFROM {source}", materialized=True)  # fmt: skip

    def _add_level(self, level: int, source: str) -> str:
        """The step in which runs of tiles double. Returns: its name."""
        half = 2 ** (level - 1)
        wanted = {self._level(s) for s in self.stretches}
        backs: dict[tuple[str, int], str] = {}
        source = self._add_chain(source, f"far_{level}", {e.before(level - 1): half for e in self.extremes}, backs)
        columns, old = [], []
        for e in self.extremes:
            run = e.before(level - 1)
            columns.append(f"{BOTH[e.function]}({run}, {self._back(run, half, backs)}) AS {e.before(level)}")
            old += [run] if level - 1 not in wanted and level > 1 else []
        old += [name for (_, distance), name in backs.items() if distance]
        kept = f"* EXCLUDE ({', '.join(old)})" if old else "*"
        self.steps.add(f"running_{level}", f"the extremes of {2**level} tiles that end in each",
                       f"SELECT {kept},\n{listed(columns)}\nFROM {source}")  # fmt: skip
        return f"running_{level}"

    def _add_far(self, source: str, backs: dict[tuple[str, int], str]) -> str:
        """The steps that bring nearer what stretches take from far off. Returns: the last."""
        farthest: dict[str, int] = {}
        for s in self.stretches:
            hops, level = self.hops[s.number], self._level(s)
            taken = dict.fromkeys(s.sums, hops - 1)
            taken |= {e.before(level): hops - 2**level for e in s.extremes} if level >= 0 else {}
            farthest |= {column: max(distance, farthest.get(column, 0)) for column, distance in taken.items()}
        return self._add_chain(source, "far", farthest, backs)

    def _add_ends(self) -> None:
        """Marks of the tiles in which stretches end and begin: never the same, for each has a hop at least."""
        ends: list[tuple[str, str, str, dict[int, str]]] = []
        for i, (_, high) in enumerate(self.highs, 1):
            flags = {s.number: "TRUE" for s in self.stretches if self.high(s) == i}
            ends.append((f"high_{i}", f"CAST({-(2**62)} AS BIGINT)", self.instant(high), flags))
        for s in self.stretches:
            tile = f"high_{self.high(s)} - {self.hops[s.number]}"
            ends.append((tile, self.instant(s.low or ""), str(2**62), {s.number: "TRUE"}))
        self.add_raw(ends)

    def _add_looked_up(self) -> None:
        """Look-ups from the tiles to the rows: rows are fewer, and so are what is kept in memory."""
        source = "asked"
        for i in range(1, len(self.highs) + 1):
            columns = []
            for s in (s for s in self.stretches if self.high(s) == i):
                columns += [f"t.{s.total(c)}" for c in (*s.sums, *(e.column for e in s.extremes))]
            tiles = f"inside AS t JOIN {source} AS a ON t.tile = a.high_{i}"
            self.steps.add(f"looked_up_{i}", "with what their stretches hold whole",
                           f"SELECT a.*,\n{listed(columns)}\nFROM {tiles}")  # fmt: skip
            source = f"looked_up_{i}"
        self.add_stretches(source)


@dataclass
class AlignedSides(_Even):
    """The same for sums over stretches from the beginning among marks of two sides, where only differences of one column
    count, a stretch of the one side less a stretch of the other: all marks of the keys before are in both.

    Each tile is numbered twice, once a side. hops: from the tile in which a stretch ends to that of the row's own instant.
    """

    def add(self) -> None:
        self._add_lines()
        self._add_placed("2 * {} + m.side")
        self.add_filled()
        self._add_tiles()
        self._add_running()
        self._add_inside()
        self._add_asked()
        ends: list[tuple[str, str, str, dict[int, str]]] = []
        for s in self.stretches:
            tile = f"2 * (high_1 - {self.hops[s.number]}) + {s.side}"
            ends.append((tile, f"CAST({-(2**62)} AS BIGINT)", self.instant(s.high), {s.number: "TRUE"}))
        self.add_raw(ends)
        columns = [f"t.{s.total(c)}" for s in self.stretches for c in s.sums]
        self.steps.add("looked_up", "with what their stretches hold whole",
                       f"SELECT a.*,\n{listed(columns)}\nFROM inside AS t JOIN asked AS a ON t.tile = a.high_1")  # fmt: skip
        self.add_stretches("looked_up")

    @cached_property
    def highs(self) -> list[tuple[int, str]]:
        """All stretches are looked up where the row's own instant is."""
        return [(0, "0")]

    @cached_property
    def _sided(self) -> list[tuple[int, str]]:
        return list(dict.fromkeys((s.side, c) for s in self.stretches for c in s.sums))

    def _add_tiles(self) -> None:
        columns = ["tile"]
        for side, c in self._sided:
            columns.append(f"{self.tile_total(c, f'f{side}')} AS {c}_at_{side}")
        joins = "\n".join(f"LEFT JOIN filled AS f{side} ON f{side}.tile = 2 * t.tile + {side}"
                          for side in dict.fromkeys(side for side, _ in self._sided))  # fmt: skip
        numbers = "(SELECT unnest(range(first_tile, first_tile + tiles)) AS tile FROM lines) AS t"
        columns[0] = "t.tile"
        self.steps.add("tiles", "all tiles, empty ones too, with both their sides",
                       f"SELECT\n{listed(columns)}\nFROM {numbers}\n{joins}")  # fmt: skip

    def _add_running(self) -> None:
        columns = ["tile", "row_number() OVER () - 1 AS place"]
        columns += [f"sum({c}_at_{k}) OVER (ROWS UNBOUNDED PRECEDING) - {c}_at_{k} AS {c}_at_{k}" for k, c in self._sided]
        self.steps.add("running", "in order: what all tiles before each add up to",
                       f"SELECT\n{listed(columns)}\nFROM (SELECT * FROM tiles ORDER BY tile)")  # fmt: skip

    def _add_inside(self) -> None:
        farthest: dict[str, int] = {}
        for s in self.stretches:
            for c in s.sums:
                column = f"{c}_at_{s.side}"
                farthest[column] = max(self.hops[s.number], farthest.get(column, 0))
        backs: dict[tuple[str, int], str] = {}
        source = self._add_chain("running", "far", farthest, backs)
        columns = [f"{self._in_order} AS tile"]
        for s in self.stretches:
            columns += [f"{self._back(f'{c}_at_{s.side}', self.hops[s.number], backs)} AS {s.total(c)}" for c in s.sums]
        self.steps.add("inside", "what all tiles before those in which stretches end add up to",
                       f"SELECT\n{listed(columns)}\nFROM {source}", materialized=True)  # fmt: skip
