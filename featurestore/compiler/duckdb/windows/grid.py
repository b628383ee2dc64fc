"""A grid of tiles: facts are added up once per key and tile of time, and any stretch of time is whole tiles and two ends.

Every key has tiles of a length of its own, so that a few of its marks fall into each; all tiles of all keys are numbered
in one row, without gaps, key after key, an empty one behind the last of each. Over that row, sorted, run totals and
extremes of 1, 2, 4, … tiles, in one pass and with no partition. A stretch takes the totals of the tiles inside it by
equality on their numbers, and the marks of the tiles at its two ends raw.

Of extremes a tile keeps two a stretch: over as many tiles before it, and over as many from it on, as fit into the stretch
(a power of two, the same for all tiles of a key), and none beyond the key's own. The two overlap and cover what is inside.

Why not frames over each key's tiles: the engine's partitioned windows cost four to twenty times as much. What is not in
order where it must be stops the statement.

$first_instant and $last_instant bound the instants of marks; $per_tile says how many marks a tile should hold, $most_tiles
how many tiles a key may have, so that none of its stretches of bounded length has more than MOST_TILES.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from featurestore.compiler.duckdb.windows.aggregations import BOTH
from featurestore.compiler.duckdb.windows.stretches import FARTHEST, Extreme, Stretch, Tiled
from featurestore.compiler.statement import listed


@dataclass
class Grid(Tiled):
    """The steps from `marks` (keys, side if there are sides, instant, and `carried`) to `stretches` (row_id, totals).

    values: what marks bring to every column that a stretch wants.
    """

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
    def _leveled(self) -> list[Stretch]:
        return [s for s in self.stretches if s.extremes]

    @cached_property
    def _line(self) -> list[str]:
        """What has tiles of its own: a key, on one side."""
        return [*self.keys, "side"] if self.sides else list(self.keys)

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
            "the length of their tiles, and their number with the empty one behind the last",
            f"SELECT *, ($last_instant - $first_instant) // length + 2 AS tiles\nFROM (\n"
            f"  SELECT {line}, ($last_instant - $first_instant) // greatest(least(marks // $per_tile, $most_tiles), 1)"
            " + 1 AS length\n  FROM counted\n)",
        )
        columns = [*self._line, "length", "CAST(sum(tiles) OVER in_a_row - tiles AS BIGINT) AS first_tile",
                   "CAST(sum(tiles) OVER in_a_row - 1 AS BIGINT) AS last_tile"]  # fmt: skip
        columns += [_level(s) for s in self._leveled]
        self.steps.add(
            "lines",
            "and the numbers of the first and last of their tiles, all in one row"
            + ("; of extremes, how many doublings fit into each stretch" if self._leveled else ""),
            f"SELECT\n{listed(columns)}\nFROM sized\nWINDOW in_a_row AS (ORDER BY {line} ROWS UNBOUNDED PRECEDING)",
            materialized=True,
        )

    def _add_placed(self) -> None:
        own = ", ".join(["m.instant", *(f"m.{c}" for c in self.carried)])
        self.steps.add(
            "placed",
            "marks of those keys, and the tile each falls into",
            f"SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, {own}\n"
            f"FROM marks AS m JOIN lines AS l USING ({', '.join(self._line)})",
            materialized=False,
        )

    def _add_tiles(self) -> None:
        self.add_filled()
        columns = ["tile", *(f"{self.tile_total(c)} AS {c}" for c in self.sums)]
        columns += [f"f.{e.column}" for e in self.extremes]
        own = ["unnest(range(first_tile, last_tile + 1)) AS tile"]
        if self._leveled:
            levels = [s.level for s in self._leveled]
            columns += ["tile - first_tile AS behind", "last_tile - tile AS left_over", *levels]
            own += ["first_tile", "last_tile", *levels]
        self.steps.add(
            "tiles",
            "all tiles, empty ones too" + ("; how many of their key lie behind and ahead" if self._leveled else ""),
            f"SELECT\n{listed(columns)}\nFROM (SELECT {', '.join(own)} FROM lines) LEFT JOIN filled AS f USING (tile)",
        )

    def _add_running(self) -> None:
        kept = ["behind", "left_over", *(s.level for s in self._leveled)] if self._leveled else []
        columns = ["tile", "row_number() OVER () - 1 AS place", *kept]
        columns += [f"sum({c}) OVER (ROWS UNBOUNDED PRECEDING) - {c} AS {c}" for c in self.sums]
        for e in self.extremes:
            columns += [f"{e.column} AS {e.before(0)}", f"{e.column} AS {e.ahead(0)}"]
            columns += [f"{e.column} AS {s.picked(e, side)}" for s in self._leveled for side in s.runs(e)]
        self.steps.add("level_0", "in order: what all tiles before each add up to, and the extremes of each",
                       f"SELECT\n{listed(columns)}\nFROM (SELECT * FROM tiles ORDER BY tile)")  # fmt: skip
        source = "level_0"
        for level in range(1, max((s.levels for s in self._leveled), default=0) + 1):
            source = self._add_level(level, source)
        columns = ["tile", *self.sums]
        for s in self._leveled:
            for e in s.extremes:
                before = f"lag({s.picked(e, 'before')}) OVER ()"
                columns.append(f"CASE WHEN behind > 0 THEN {before} END AS {s.picked(e, 'before')}")
                columns += [s.picked(e, "ahead")] if s.low is not None else []
        out_of_order = "place <> tile OR row_number() OVER () - 1 <> tile"
        columns.append(f"CASE WHEN {out_of_order} THEN error('tiles out of order') END AS in_order")
        self.steps.add("running", "what stretches need; every tile must have come in its place",
                       f"SELECT\n{listed(columns)}\nFROM {source}", materialized=True)  # fmt: skip

    def _add_level(self, level: int, source: str) -> str:
        """The step in which runs of tiles double, and what stretches take of them. Returns: its name."""
        half = 2 ** (level - 1)
        step = min(half, FARTHEST)
        for number in range(half // FARTHEST - 1):
            source = self._add_far(level, number, source)
        columns, old = [], []
        for e in self.extremes:
            before, ahead, both = e.before(level - 1), e.ahead(level - 1), BOTH[e.function]
            back, on = (f"{c}_far" if half > FARTHEST else c for c in (before, ahead))
            earlier = f"CASE WHEN behind >= {half} THEN lag({back}, {step}) OVER () END"
            later = f"CASE WHEN left_over >= {half} THEN lead({on}, {step}) OVER () END"
            columns.append(f"{both}({before}, {earlier}) AS {e.before(level)}")
            columns.append(f"{both}({ahead}, {later}) AS {e.ahead(level)}")
            old += list(dict.fromkeys([before, ahead, back, on]))
        name = f"doubled_{level}" if self._leveled else f"level_{level}"
        self.steps.add(name, f"the extremes of {2**level} tiles of its key that end in each, or begin in it",
                       f"SELECT * EXCLUDE ({', '.join(old)}),\n{listed(columns)}\nFROM {source}")  # fmt: skip
        picks = []
        for s in (s for s in self._leveled if s.levels >= level):
            for e in s.extremes:
                runs = {"before": e.before(level), "ahead": e.ahead(level)}
                for side in s.runs(e):
                    picked = s.picked(e, side)
                    picks.append(f"CASE WHEN {s.level} >= {level} THEN {runs[side]} ELSE {picked} END AS {picked}")
        self.steps.add(f"level_{level}", "taken by the stretches into which they fit",
                       f"SELECT * REPLACE (\n{listed(picks)}\n)\nFROM {name}")  # fmt: skip
        return f"level_{level}"

    def _add_far(self, level: int, number: int, source: str) -> str:
        """A step that brings what is farther off than one look nearer. Returns: its name."""
        columns, old = [], []
        for e in self.extremes:
            before, ahead = e.before(level - 1), e.ahead(level - 1)
            back, on = (f"{c}_far" if number else c for c in (before, ahead))
            old += [back, on] if number else []
            columns += [f"lag({back}, {FARTHEST}) OVER () AS {before}_far", f"lead({on}, {FARTHEST}) OVER () AS {ahead}_far"]
        others = f"* EXCLUDE ({', '.join(old)})" if old else "*"
        name = f"far_{level}_{number + 1}"
        self.steps.add(name, f"those {(number + 1) * FARTHEST} tiles off",
                       f"SELECT {others},\n{listed(columns)}\nFROM {source}")  # fmt: skip
        return name

    @cached_property
    def _bounded(self) -> list[Stretch]:
        return [s for s in self.stretches if s.low is not None]

    def _tile(self, line: str, distance: str) -> str:
        """The tile of an instant; before all marks the first, after them the last that may hold any."""
        inside = f"least(greatest({self.instant(distance, 's.asked_at')} - $first_instant, 0), $last_instant - $first_instant)"
        return f"{line}.first_tile + {inside} // {line}.length"

    def _add_asked(self) -> None:
        """The step `asked`: per spine row the tiles in which its stretches end and begin, and what of extremes it needs."""
        columns, joins = ["s.row_id", "s.asked_at"], []
        for side in dict.fromkeys(s.side for s in self.stretches):
            same = [f"s.{k} = l{side}.{k}" for k in self.keys] + ([f"l{side}.side = {side}"] if self.sides else [])
            joins.append(f"JOIN lines AS l{side} ON {' AND '.join(same)}")
        columns += [f"{self._tile(f'l{side}', high)} AS high_{i}" for i, (side, high) in enumerate(self.highs, 1)]
        for s in self.stretches:
            low = f"l{s.side}.first_tile" if s.low is None else self._tile(f"l{s.side}", s.low)
            columns.append(f"{low} AS low_{s.number}")
        columns += [f"CAST(1 AS BIGINT) << l{s.side}.{s.level} AS reach_{s.number}" for s in self._leveled if s.low is not None]
        self.steps.add(
            "asked",
            "the tiles in which the stretches of each spine row end, and those in which they begin",
            f"SELECT\n{listed(columns)}\nFROM spine AS s\n" + "\n".join(joins),
            materialized=True,
        )

    def _add_raw(self) -> None:
        """Marks of the tiles in which stretches end and begin."""
        ends: list[tuple[str, str, str, dict[int, str]]] = []
        for i, (_, high) in enumerate(self.highs, 1):
            flags = {s.number: self._reaches(s) for s in self.stretches if self.high(s) == i}
            ends.append((f"high_{i}", f"CAST({-(2**62)} AS BIGINT)", self.instant(high), flags))
        for s in self._bounded:
            upper = f"CASE WHEN {self._reaches(s)} THEN {2**62} ELSE {self.instant(s.high)} END"
            ends.append((f"low_{s.number}", self.instant(s.low or ""), upper, {s.number: "TRUE"}))
        self.add_raw(ends)

    def _reaches(self, s: Stretch) -> str:
        """Whether a stretch begins in a tile before that in which it ends."""
        return "TRUE" if s.low is None else f"low_{s.number} < high_{self.high(s)}"

    def _add_stretches(self) -> None:
        """Look-ups one after the other, each from the tiles to the rows: rows are fewer, and so are what is kept in memory."""
        source = "asked"
        for i in range(1, len(self.highs) + 1):
            mine = [s for s in self.stretches if self.high(s) == i]
            for s in mine:
                columns, known = self._looked_up(s, first=s is mine[0])
                tile = f"low_{s.number}" if s.low is None else f"low_{s.number} + 1"
                high = f"running AS h JOIN {source} AS a ON h.tile = a.high_{i}"
                if s is mine[0]:
                    self.steps.add(f"before_high_{i}", "with what the tiles before their ends add up to",
                                   f"SELECT a.*, {', '.join(known)}\nFROM {high}")  # fmt: skip
                    source = f"before_high_{i}"
                low = f"running AS l JOIN {source} AS a ON l.tile = a.{tile}"
                self.steps.add(f"inside_{s.number}", "and what the tiles inside a stretch do",
                               f"SELECT a.*,\n{listed(columns)}\nFROM {low}")  # fmt: skip
                source = f"inside_{s.number}"
        self.add_stretches(source)

    def _looked_up(self, s: Stretch, *, first: bool) -> tuple[list[str], list[str]]:
        """The totals of the tiles inside a stretch, from the tile before its end (`at_{i}_…` of rows) and that after its
        beginning (l); and of its end's tile (h) what all stretches that end there need."""
        i, n = self.high(s), s.number
        columns, known = [], list[str]()
        for c in s.sums:
            inside = f"a.at_{i}_{c} - l.{c}"
            if s.low is not None:
                inside = f"CASE WHEN a.high_{i} > a.low_{n} THEN {inside} ELSE 0 END"
            columns.append(f"{inside} AS {s.total(c)}")
        columns += [f"{self._inside(s, e)} AS {s.total(e.column)}" for e in s.extremes]
        if first:
            mine = [other for other in self.stretches if self.high(other) == i]
            known += [f"h.{c} AS at_{i}_{c}" for c in dict.fromkeys(c for other in mine for c in other.sums)]
            known += [f"h.{other.picked(e, 'before')}" for other in mine for e in other.extremes]
        return columns, known

    def _inside(self, s: Stretch, e: Extreme) -> str:
        """Where less lies inside than a run of tiles is long, that which the key's first or last tile cuts short is all."""
        before, ahead = f"a.{s.picked(e, 'before')}", f"l.{s.picked(e, 'ahead')}"
        if s.low is None:
            return before
        both, between = BOTH[e.function], f"a.high_{self.high(s)} - a.low_{s.number} - 1"
        return (
            f"CASE WHEN {between} >= a.reach_{s.number} THEN {both}({before}, {ahead})\n    WHEN {between} <= 0 THEN NULL\n"
            f"    WHEN {self.instant(s.low, 'a.asked_at')} < $first_instant THEN {before} ELSE {ahead} END"
        )


def _level(stretch: Stretch) -> str:
    """How often runs of tiles double: from the beginning, to cover all; else to the longest that fits between the ends."""
    level = "ceil(log2(tiles))"
    if stretch.low is not None:
        between = f"least(({stretch.low} - {stretch.high}) // length, tiles) - 1"
        level = f"floor(log2(greatest({between}, 1)))"
    guarded = f"CASE WHEN {level} > {stretch.levels} THEN error('too many tiles') ELSE CAST({level} AS TINYINT) END"
    return f"{guarded} AS {stretch.level}"
