"""The validity sweep: a fact counts from the instant it becomes visible until it leaves the window or is replaced.

It serves any source, and every aggregate made of terms. A window of length L at t holds what became visible before t, less
what happened before t - L, where facts known only after they have left the window are in neither. A version that a later
one replaces is followed, when that one is known, by the same fact with the opposite sign. A window with an offset is the
longer window up to t less the shorter.

Both sides are running totals over tiles of time ($tile long) and the facts of one tile joined raw, as in `tiles`.
"""

from __future__ import annotations

from featurestore.compiler.duckdb.facts import key_names
from featurestore.compiler.duckdb.windows.measured import add_measured, measure_name
from featurestore.compiler.duckdb.windows.shared import Asked, Span, add_terms, finish
from featurestore.compiler.duckdb.windows.tiles import tile_of
from featurestore.compiler.statement import Steps, listed
from featurestore.plan.nodes import facts_of

_STARTS, _ENDS = 0, 1
"""The column `side` of a mark: at the instant its fact becomes visible, or at its event time."""


def sweep(asked: Asked) -> str:
    """The statement: __row, then the outputs; ordered by __row."""
    return _Sweep(asked).statement()


class _Sweep:
    """One statement in the making."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.steps = asked, Steps()
        self.keys = key_names(asked.plan.spine.keys)
        self.versioned = facts_of(asked.plan.facts)[1] is not None
        self.terms = [f"{term}_{n}" for n, wanted in asked.terms_of.items() for term in wanted]
        lengths = [length for span in asked.spans for length in _lengths(span)]
        self.lengths: list[int | None] = list(dict.fromkeys(lengths))
        self.finite = [length for length in self.lengths if length is not None]

    def statement(self) -> str:
        add_measured(self.steps, self.asked.plan.facts, self.asked.measures)
        source = add_terms(self.steps, self.asked)
        self._add_signed(source)
        self._add_marks()
        self._add_ends()
        self._add_tiles()
        self._add_raw()
        self._add_grouped()
        return finish(self.steps, self.asked)

    def _add_signed(self, source: str) -> None:
        counted = {n for n, wanted in self.asked.terms_of.items() if "n" in wanted}
        values = [f"CASE WHEN {measure_name(n)} IS NULL THEN 0 ELSE 1 END AS n_{n}" for n in sorted(counted)]
        values += [term for term in self.terms if not term.startswith("n_")]
        keys = ", ".join(self.keys)
        sql = f"SELECT\n{listed([*self.keys, 'event_time', 'visible_from', *values])}\nFROM {source}"
        note = "facts, and from when each counts"
        if self.versioned:
            sql = f"SELECT\n{listed([*self.keys, 'event_time', 'visible_from', 'until', *values])}\nFROM {source}"
            self.steps.add("counted", note, sql, materialized=False)
            minus = [f"-{term} AS {term}" for term in self.terms]
            sql = (
                f"SELECT {keys}, event_time, visible_from, {', '.join(self.terms)} FROM counted\nUNION ALL\n"
                f"SELECT {keys}, event_time, until AS visible_from, {', '.join(minus)} FROM counted WHERE until IS NOT NULL"
            )
            note = "those facts, and each that is replaced once more, with the opposite sign, from then on"
        self.steps.add("signed", note, sql, materialized=False)

    def _column(self, term: str, length: int | None) -> str:
        """The column of a term among facts that are visible before they leave a window of that length."""
        return f"{term}_in_{self.lengths.index(length) + 1}"

    def _columns(self) -> list[str]:
        return [self._column(term, length) for length in self.lengths for term in self.terms]

    def _add_marks(self) -> None:
        values = []
        for length in self.lengths:
            for term in self.terms:
                name = self._column(term, length)
                inside = term if length is None else f"CASE WHEN visible_from - event_time < {length} THEN {term} END"
                values.append(f"{inside} AS {name}")
        sides = [(_STARTS, "visible_from")] + ([(_ENDS, "event_time")] if self.finite else [])
        selects = []
        for side, at in sides:
            place = [f"CAST({side} AS UTINYINT) AS side", f"{at} AS instant", f"{tile_of(at)} AS tile"]
            selects.append(f"SELECT\n{listed([*self.keys, *place, *values])}\nFROM signed")
        self.steps.add("marks", "when facts begin to count, and when they happened; the tile each falls into",
                       "\nUNION ALL\n".join(selects), materialized=False)  # fmt: skip

    def _add_ends(self) -> None:
        keys = ", ".join(self.keys)
        self.steps.add(
            "ends",
            "of every spine row t itself, and the instants at which windows that end at t begin",
            "\nUNION ALL\n".join(
                f"SELECT row_id, {keys}, CAST({which} AS UTINYINT) AS which, CAST({side} AS UTINYINT) AS side, "
                f"{instant} AS instant, {tile_of(f'({instant})')} AS tile\nFROM spine"
                for which, side, instant in self._ends()
            ),
            materialized=True,
        )

    def _ends(self) -> list[tuple[int, int, str]]:
        """(number, side, instant): t, then the beginnings."""
        begins = [(number, _ENDS, f"asked_at - {length}") for number, length in enumerate(self.finite, 2)]
        return [(1, _STARTS, "asked_at"), *begins]

    def _add_tiles(self) -> None:
        keys, columns = ", ".join([*self.keys, "side", "tile"]), self._columns()
        self.steps.add(
            "tiles",
            "per key, side and tile what its marks add up to; tiles of an end are there even if empty",
            f"SELECT\n{listed([keys, *(f'sum({c}) AS {c}' for c in columns)])}\nFROM (\n"
            f"  SELECT {keys}, {', '.join(columns)} FROM marks\n  UNION ALL BY NAME\n"
            f"  SELECT DISTINCT {keys} FROM ends WHERE {' AND '.join(f'{k} IS NOT NULL' for k in self.keys)}\n)\n"
            f"GROUP BY {keys}",
        )
        partition = ", ".join([*self.keys, "side"])
        running = [f"coalesce(sum({c}) OVER so_far, 0) - coalesce({c}, 0) AS {c}" for c in columns]
        self.steps.add(
            "totals",
            "per tile what all tiles before it add up to",
            f"SELECT\n{listed([keys, *running])}\nFROM tiles\n"
            f"WINDOW so_far AS (PARTITION BY {partition} ORDER BY tile ROWS UNBOUNDED PRECEDING)",
            materialized=True,
        )

    def _add_raw(self) -> None:
        columns, before = self._columns(), "<=" if self.asked.plan.facts.exact else "<"
        same = " AND ".join(f"e.{k} = f.{k}" for k in [*self.keys, "side", "tile"])
        self.steps.add(
            "raw_pairs",
            "ends and the marks before them in their tile",
            f"SELECT e.row_id, e.which, {', '.join(f'f.{c}' for c in columns)}\nFROM ends AS e JOIN marks AS f\n"
            f"ON {same}\nAND f.instant {before} e.instant",
        )
        wanted = []
        for which, length in self._wanted():
            wanted += [f"sum({self._column(term, length)}) FILTER (WHERE which = {which}) AS {self._raw(term, length, which)}"
                       for term in self.terms]  # fmt: skip
        self.steps.add("raw", "per spine row what those add up to, end by end",
                       f"SELECT\n{listed(['row_id', *wanted])}\nFROM raw_pairs\nGROUP BY row_id")  # fmt: skip

    def _wanted(self) -> list[tuple[int, int | None]]:
        """(end, length) of every running total: of each length at t, and at its own beginning."""
        begins = [(number, length) for number, length in enumerate(self.finite, 2)]
        return [(1, length) for length in self.lengths] + begins

    def _raw(self, term: str, length: int | None, which: int) -> str:
        return f"{self._column(term, length)}_end_{which}"

    def _add_grouped(self) -> None:
        columns = ["s.row_id"]
        for (number, place), wanted in self.asked.terms.items():
            for term in wanted:
                longer, *shorter = [self._up_to(f"{term}_{number}", length) for length in _lengths(self.asked.spans[place - 1])]
                sql = " - ".join([longer, *(f"({s})" for s in shorter)])
                columns.append(f"{sql} AS {term}_{number}_{place}")
        joins = ["LEFT JOIN raw AS r USING (row_id)"]
        for which, side, instant in self._ends():
            same = [f"s.{k} = t{which}.{k}" for k in self.keys]
            same += [f"t{which}.side = {side}", f"t{which}.tile = {tile_of(f'(s.{instant})')}"]
            joins.append(f"LEFT JOIN totals AS t{which} ON {' AND '.join(same)}")
        self.steps.add("grouped", "per spine row what its windows hold: what has begun to count, less what has left",
                       f"SELECT\n{listed(columns)}\nFROM spine AS s\n" + "\n".join(joins))  # fmt: skip

    def _up_to(self, term: str, length: int | None) -> str:
        """The sum over the window of that length that ends at t."""
        begun = self._running(term, length, 1)
        return begun if length is None else f"{begun} - {self._running(term, length, self.finite.index(length) + 2)}"

    def _running(self, term: str, length: int | None, which: int) -> str:
        return f"(t{which}.{self._column(term, length)} + coalesce(r.{self._raw(term, length, which)}, 0))"


def _lengths(span: Span) -> list[int | None]:
    """The windows up to t whose difference a window is: the longer, then the shorter if there is one."""
    return [span.low, span.high] if span.high else [span.low]
