"""Tiles: facts are added up once per key and tile of time; a window is whole tiles and the facts at its two ends.

It serves sources whose known time is event time plus a constant, and every aggregate that parts can make: those of terms
(running totals over the tiles, subtracted) and the least or greatest of something (frames over the tiles). Its cost hardly
depends on how many facts a window holds. $tile is the length of a tile, in microseconds; no window may be shorter.

An end of a window is an instant: facts before it, or from it on, in the tile that holds it are joined raw. Tiles in which
an end falls exist even without facts, so that every end finds its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.compiler.duckdb.facts import key_names, visible_delay
from featurestore.compiler.duckdb.windows import aggregations
from featurestore.compiler.duckdb.windows.measured import add_measured, measure_name
from featurestore.compiler.duckdb.windows.shared import Asked, Span, add_terms, finish
from featurestore.compiler.statement import Steps, listed
from featurestore.plan.nodes import Output

_EARLIEST = 2**62
"""Added before times are cut into tiles, because the engine's division truncates towards zero."""


def tile_of(instant: str) -> str:
    return f"({instant} + {_EARLIEST}) // $tile"


@dataclass(frozen=True)
class End:
    """One end of windows: so long before t, and which facts of its tile are joined raw: those before it, or from it on."""

    distance: int
    before: bool


@dataclass(frozen=True)
class _Extreme:
    """The least or greatest of something, by a number of its own: `e_{number}`."""

    number: int
    function: str
    sql: str


class Tiles:
    """One statement in the making."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.steps = asked, Steps()
        self.exact = asked.plan.facts.exact
        self.keys = key_names(asked.plan.spine.keys)
        self.delay = visible_delay(asked.plan.facts)
        self.ends = tuple(dict.fromkeys(end for span in asked.spans for end in _ends_of(span)))
        self.terms = [f"{term}_{n}" for n, wanted in asked.terms_of.items() for term in wanted]
        self.extremes = self._extremes()

    def _extremes(self) -> dict[tuple[str, str], _Extreme]:
        """(function, what) -> the extremes needed, in order of first use."""
        found: dict[tuple[str, str], _Extreme] = {}
        for output in self.asked.others:
            key = self._extreme_key(output)
            found.setdefault(key, _Extreme(len(found) + 1, *key))
        return found

    def _extreme_key(self, output: Output) -> tuple[str, str]:
        number = self.asked.number(output)
        function, what = aggregations.EXTREMES[output.aggregate or ""]
        sql = what(measure_name(number), self.asked.measures[number - 1])
        if output.aggregate not in ("min", "max", "any", "all"):
            sql = f"CASE WHEN {measure_name(number)} IS NOT NULL THEN {sql} END"
        return function, sql

    def statement(self) -> str:
        """The statement: __row, then the outputs; ordered by __row."""
        add_measured(self.steps, self.asked.plan.facts, self.asked.measures)
        source = add_terms(self.steps, self.asked)
        self._add_marks(source)
        self._add_ends()
        self._add_tiles()
        self._add_totals()
        self._add_raw()
        self._add_grouped()
        return finish(self.steps, self.asked)

    def distance(self, end: End) -> str:
        """How long before t an end lies: an event known later than that bounds the window instead."""
        return str(end.distance) if self.delay == "0" else f"greatest({end.distance}, {self.delay})"

    def _add_marks(self, source: str) -> None:
        ones = [f"CASE WHEN {measure_name(n)} IS NULL THEN 0 ELSE 1 END AS n_{n}"
                for n, wanted in self.asked.terms_of.items() if "n" in wanted]  # fmt: skip
        others = [term for term in self.terms if not term.startswith("n_")]
        extremes = [f"{e.sql} AS e_{e.number}" for e in self.extremes.values()]
        columns = [*self.keys, "event_time", f"{tile_of('event_time')} AS tile", *ones, *others, *extremes]
        self.steps.add("marks", "facts, the tile each falls into, and what is taken of it",
                       f"SELECT\n{listed(columns)}\nFROM {source}", materialized=False)  # fmt: skip

    def _add_ends(self) -> None:
        keys = ", ".join(self.keys)
        selects = []
        for number, end in enumerate(self.ends, 1):
            instant = f"asked_at - {self.distance(end)}" if end.distance or self.delay != "0" else "asked_at"
            selects.append(
                f"SELECT row_id, {keys}, CAST({number} AS UTINYINT) AS which, {instant} AS instant, "
                f"{'TRUE' if end.before else 'FALSE'} AS before, {tile_of(f'({instant})')} AS tile\nFROM spine"
            )
        self.steps.add("ends", "the ends of every spine row's windows, and the tile each falls into",
                       "\nUNION ALL\n".join(selects), materialized=True)  # fmt: skip

    def _add_tiles(self) -> None:
        keys = ", ".join(self.keys)
        sums = [f"sum({term}) AS {term}" for term in self.terms]
        extremes = [f"{e.function}(e_{e.number}) AS e_{e.number}" for e in self.extremes.values()]
        own = ", ".join([*self.terms, *(f"e_{e.number}" for e in self.extremes.values())])
        self.steps.add(
            "tiles",
            "per key and tile what its facts add up to; tiles of an end are there even if empty",
            f"SELECT\n{listed([*self.keys, 'tile', *sums, *extremes])}\nFROM (\n"
            f"  SELECT {keys}, tile, {own} FROM marks\n  UNION ALL BY NAME\n"
            f"  SELECT DISTINCT {keys}, tile FROM ends WHERE {' AND '.join(f'{k} IS NOT NULL' for k in self.keys)}\n)\n"
            f"GROUP BY {keys}, tile",
        )

    def _add_totals(self) -> None:
        columns, frames = [*self.keys, "tile"], dict[str, str]()
        for term in self.terms:
            frames["so_far"] = "ROWS UNBOUNDED PRECEDING"
            columns += [f"coalesce(sum({term}) OVER so_far, 0) AS {term}_up_to", f"coalesce({term}, 0) AS {term}"]
        for e in self.extremes.values():
            frames["one_before"] = "RANGE BETWEEN 1 PRECEDING AND 1 PRECEDING"
            columns.append(f"{e.function}(e_{e.number}) OVER one_before AS e_{e.number}_one_before")
        for place, span in enumerate(self.asked.spans, 1):
            used, name = self._extremes_of(span), "all_before" if span.low is None else f"within_{place}"
            if used:
                frames[name] = self._tiles_within(span)
            columns += [f"{e.function}(e_{e.number}) OVER {name} AS e_{e.number}_{place}" for e in used]
        partition = f"PARTITION BY {', '.join(self.keys)} ORDER BY tile"
        windows = [f"  {name} AS ({partition} {frame})" for name, frame in frames.items()]
        self.steps.add(
            "totals",
            "per tile the running totals, and the extremes of the tiles inside a window that begins in it",
            f"SELECT\n{listed(columns)}\nFROM tiles\nWINDOW\n" + ",\n".join(windows),
            materialized=True,
        )

    def _tiles_within(self, span: Span) -> str:
        """The frame of the tiles inside a window: its ends lie so many tiles apart, or one more."""
        if span.low is None:
            return f"RANGE BETWEEN {_EARLIEST} PRECEDING AND 1 PRECEDING"
        low, high = self.distance(End(span.low, False)), self.distance(End(span.high, True))
        return f"RANGE BETWEEN 1 FOLLOWING AND greatest(({low} - {high}) // $tile, 1) - 1 FOLLOWING"

    def _extremes_of(self, span: Span) -> list[_Extreme]:
        used = {self._extreme_key(o) for o in self.asked.others if _span(self.asked, o) == span}
        return [e for key, e in self.extremes.items() if key in used]

    def _add_raw(self) -> None:
        """The step `raw`: per spine row and end what the facts of its tile on the end's side add up to."""
        columns = ["row_id"]
        for number, end in enumerate(self.ends, 1):
            if self._is_asked_for_terms(end):
                columns += [f"sum({term}) FILTER (WHERE which = {number}) AS {term}_end_{number}" for term in self.terms]
            for e in self._extremes_at(end):
                columns.append(f"{e.function}(e_{e.number}) FILTER (WHERE which = {number}) AS e_{e.number}_end_{number}")
        own = ", ".join(["e.row_id", "e.which", *(f"f.{c}" for c in self._taken())])
        before, after = ("<=", ">") if self.exact else ("<", ">=")
        self.steps.add(
            "raw_pairs",
            "ends and the facts of their tile: those before the end where a window ends, the others where it begins",
            f"SELECT {own}\nFROM ends AS e JOIN marks AS f\n"
            f"ON {' AND '.join(f'e.{k} = f.{k}' for k in [*self.keys, 'tile'])}\n"
            f"AND CASE WHEN e.before THEN f.event_time {before} e.instant ELSE f.event_time {after} e.instant END",
        )
        self.steps.add("raw", "per spine row what those add up to, end by end",
                       f"SELECT\n{listed(columns)}\nFROM raw_pairs\nGROUP BY row_id")  # fmt: skip

    def _taken(self) -> list[str]:
        return [*self.terms, *(f"e_{e.number}" for e in self.extremes.values())]

    def _is_asked_for_terms(self, end: End) -> bool:
        return any(end in _ends_of(self.asked.spans[place - 1]) for _, place in self.asked.terms)

    def _extremes_at(self, end: End) -> list[_Extreme]:
        used = {e.number for span in self.asked.spans if end in _ends_of(span) for e in self._extremes_of(span)}
        return [e for e in self.extremes.values() if e.number in used]

    def _add_grouped(self) -> None:
        columns = ["s.row_id"]
        for (number, place), wanted in self.asked.terms.items():
            columns += [f"{self._total(f'{term}_{number}', self.asked.spans[place - 1])} AS {term}_{number}_{place}"
                        for term in wanted]  # fmt: skip
        for position, output in enumerate(self.asked.others, 1):
            columns.append(f"{self._extreme(output)} AS value_{position}")
        joins = ["LEFT JOIN raw AS r USING (row_id)"]
        for number, end in enumerate(self.ends, 1):
            instant = f"s.asked_at - {self.distance(end)}"
            same = [f"s.{k} = t{number}.{k}" for k in self.keys] + [f"t{number}.tile = {tile_of(f'({instant})')}"]
            joins.append(f"LEFT JOIN totals AS t{number} ON {' AND '.join(same)}")
        self.steps.add("grouped", "per spine row what its windows hold: tiles within, facts at both ends",
                       f"SELECT\n{listed(columns)}\nFROM spine AS s\n" + "\n".join(joins))  # fmt: skip

    def _total(self, term: str, span: Span) -> str:
        """Running total at the window's end, less the one at its beginning."""
        return " - ".join(self._running(term, end) for end in _ends_of(span))

    def _running(self, term: str, end: End) -> str:
        """The sum of all facts before an end."""
        number = self.ends.index(end) + 1
        raw, tile = f"coalesce(r.{term}_end_{number}, 0)", f"t{number}"
        if end.before:
            return f"({tile}.{term}_up_to - {tile}.{term} + {raw})"
        return f"({tile}.{term}_up_to - {raw})"

    def _extreme(self, output: Output) -> str:
        """The extreme of the facts at both ends, of the tiles within, and of the last tile before the window's end."""
        e, span = self.extremes[self._extreme_key(output)], _span(self.asked, output)
        both = aggregations.BOTH[e.function]
        upper, *lower = [self.ends.index(end) + 1 for end in _ends_of(span)]
        if not lower:
            return f"{both}(r.e_{e.number}_end_{upper}, t{upper}.e_{e.number}_{self.asked.place(output)})"
        (low,) = lower
        last = f"CASE WHEN t{upper}.tile - t{low}.tile > 1 THEN t{upper}.e_{e.number}_one_before END"
        parts = [f"r.e_{e.number}_end_{upper}", f"r.e_{e.number}_end_{low}", f"t{low}.e_{e.number}_{self.asked.place(output)}"]
        found = f"{both}({', '.join([*parts, last])})"
        if self.delay == "0":
            return found
        assert span.low is not None
        return f"CASE WHEN {span.low} > {self.delay} THEN {found} END"


def _ends_of(span: Span) -> Sequence[End]:
    """The end of a window, then its beginning (none: it holds the whole past)."""
    upper = End(span.high, before=True)
    return (upper,) if span.low is None else (upper, End(span.low, before=False))


def _span(asked: Asked, output: Output) -> Span:
    return asked.spans[asked.place(output) - 1]


def tiles(asked: Asked) -> str:
    """The statement: __row, then the outputs; ordered by __row."""
    return Tiles(asked).statement()
