"""Rows of a source as facts or versions to be, in any dialect: which column is what, when a row happened and was known.

What a key, an event time, a known time, a condition and the order of versions are made of is decided here, once for all; how a
dialect spells it is what it gives to `Rows`. How versions become facts is each dialect's own.

Column names inside a statement: `row_id` and `asked_at` of the spine; `event_time` and `known_time` of facts; `key_…`
join keys; `in_…` source columns. Features have their own names only in the final select, so no name of a user's can clash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from featurestore.compiler.facts import known_delay, not_null
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions import Source
from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import DType
from featurestore.expressions import Expr
from featurestore.intervals import format_instant
from featurestore.plan.nodes import InForce, PlanKey, ReadSource, Settled, Visible, chain_of


@dataclass(frozen=True)
class Rows:
    """instant: the type of a literal of time. micros_of: the function that gives an instant's microseconds. long: what ends a
    literal of 64 bits, where a short one would be of 32. parameter: what begins the name of one. relation: a relation's name
    in FROM. inlined: the hint for a step that must not be kept whole."""

    quoted: Callable[[str], str]
    canonical: Callable[[str, DType], str]
    sortable: Callable[[str, DType], str]
    condition: Callable[[Expr, Mapping[str, DType], Callable[[str], str]], str]
    key_type: Callable[[DType], str]
    instant: str
    micros_of: str
    long: str
    parameter: str
    relation: Callable[[str], str]
    inlined: bool | None

    def key_names(self, keys: Sequence[PlanKey]) -> list[str]:
        """The key columns inside a statement; a view without entities has one constant key."""
        return [self.quoted(f"key_{key.name}") for key in keys] or ["key_all"]

    def input_name(self, column: str) -> str:
        return self.quoted(f"in_{column}")

    def key_selects(self, keys: Sequence[PlanKey]) -> list[str]:
        """Key columns from source columns, in the type their family compares in."""
        if not keys:
            return ["0 AS key_all"]
        named = [(self.quoted(k.source_column), self.key_type(k.dtype), self.quoted(f"key_{k.name}")) for k in keys]
        return [f"CAST({column} AS {kind}) AS {name}" for column, kind, name in named]

    def event_time(self, source: Source) -> str:
        """e in microseconds, NULL outside the source's time range (infinite times are outside of any)."""
        assert source.event_timestamp is not None
        return self.micros(source.event_timestamp, source)

    def known_time(self, rows: ReadSource) -> str:
        """k in microseconds: of a pushed row its arrival, else the created timestamp, or e + delay."""
        declared = self._declared_known_time(rows.source)
        if not rows.pushed:
            return declared
        if rows.files_before is not None:
            declared = f"CASE WHEN {declared} < {rows.files_before} THEN {declared} END"
        arrival = self.micros(PUSHED_AT, rows.source)
        return f"CASE WHEN {self.quoted(PUSHED_AT)} IS NULL THEN {declared} ELSE {arrival} END"

    def _declared_known_time(self, source: Source) -> str:
        delay, event_time = source.known_delay.micros, self.event_time(source)
        from_event = f"{event_time} + {delay}" if delay else event_time
        if source.created_timestamp is None:
            return from_event
        created = self.micros(source.created_timestamp, source)
        if source.created_null == "event":
            return f"coalesce({created}, {from_event})"
        return created

    def micros(self, column: str, source: Source) -> str:
        (first, end), name = source.time_range, self.quoted(column)
        inside = f"{name} >= {self.instant} '{format_instant(first)}' AND {name} < {self.instant} '{format_instant(end)}'"
        return f"CASE WHEN {inside} THEN {self.micros_of}({name}) END"

    def where_holds(self, rows: ReadSource, where: Expr) -> str:
        return self.condition(where, {c.name: c.dtype for c in rows.columns}, self.quoted)

    def where(self, rows: ReadSource, *conditions: str) -> str:
        """The WHERE of a statement over the rows of a source as they are bound: those that are set aside are not among them."""
        tests = [self.where_holds(rows, test) for _, test in rows.kept_if]
        if tests:
            kept = "\n  AND ".join(f"({each})" for each in (*tests, *conditions))
            return f"\nWHERE {kept}"
        return f"\nWHERE {' AND '.join(conditions)}" if conditions else ""

    def visible_delay(self, visible: Visible | Settled) -> str:
        """How long after its event a fact of a simple source becomes visible, in microseconds, as SQL."""
        if isinstance(visible, Settled):
            return "0"
        delay, shift = known_delay(visible), f"{self.parameter}known_shift"
        return f"({delay}{self.long} + {shift})" if delay else shift

    def add_rows_read(
        self, steps: Steps, visible: Visible | Settled, name: str, source_relation: str, besides: Sequence[str] = ()
    ) -> None:
        """The step `name`: rows of a relation as facts or versions to be: keys, times, inputs as stored. besides: more columns.

        Rows that are no versions and fail the view's condition are gone; of versions it only says whether each `holds`,
        because one that does not hold still hides its predecessors.
        """
        facts, versions, held = chain_of(visible)
        rows, source = facts.rows, facts.rows.source
        columns = [*self.key_selects(facts.keys), f"{self.event_time(source)} AS event_time"]
        columns.append(f"{self.known_time(rows)} AS known_time")
        aside = "; those in quarantine are left out" if rows.kept_if else ""
        if versions is not None:
            columns, kept = [*self._version_columns(rows, versions, held), *columns], self.where(rows)
            note = f"rows of source {source.name}: versions of facts, whether each holds, what orders them{aside}"
        else:
            kept = self.where(rows, *([] if held is None else [self.where_holds(rows, held)]))
            note = f"rows of source {source.name}: keys, times in microseconds UTC, inputs{aside}"
        columns += [*(f"{self.quoted(c.name)} AS {self.input_name(c.name)}" for c in facts.inputs), *besides]
        select = f"SELECT\n{listed(columns)}\nFROM {self.relation(source_relation)}{kept}"
        steps.add(name, note, select, materialized=self.inlined)

    def _version_columns(self, rows: ReadSource, versions: InForce, held: Expr | None) -> list[str]:
        source, types, quoted = rows.source, {c.name: c.dtype for c in rows.columns}, self.quoted
        holds = [] if held is None else [f"({self.where_holds(rows, held)}) IS TRUE"]
        if source.deleted:
            holds.append(f"{quoted(source.deleted)} IS NOT TRUE")
        columns = [f"{self.canonical(quoted(c), types[c])} AS {quoted(f'row_{c}')}" for c in versions.row_key]
        columns.append(f"{' AND '.join(holds) or 'TRUE'} AS holds")
        columns.append(f"coalesce({quoted(source.deleted)}, FALSE) AS deleted" if source.deleted else "FALSE AS deleted")
        if source.row_order:
            columns.append(f"{self._ordering(source.row_order, types)} AS row_order")
        return columns + [f"{self._ordering(c, types)} AS {quoted(f'by_{c}')}" for c in versions.order]

    def _ordering(self, column: str, types: Mapping[str, DType]) -> str:
        return self.sortable(self.canonical(self.quoted(column), types[column]), types[column])

    def row_key_names(self, visible: Visible | Settled) -> list[str]:
        return [self.quoted(f"row_{c}") for c in _versions(visible).row_key]

    def fact_columns(self, visible: Visible | Settled) -> list[str]:
        """key, event_time, known_time and input columns: what a fact is once it is in force."""
        facts, _, _ = chain_of(visible)
        return [*self.key_names(facts.keys), "event_time", "known_time", *(self.input_name(c.name) for c in facts.inputs)]

    def live(self, visible: Visible | Settled) -> str:
        """A version in force that is a fact: it holds, and has keys and an event time."""
        facts, _, _ = chain_of(visible)
        return f"holds AND {not_null([*self.key_names(facts.keys), 'event_time'])}"

    def deciding(self, visible: Visible | Settled) -> list[str]:
        """What orders versions: row_order if declared, known time, event time, deleted, then columns by name."""
        versions = _versions(visible)
        columns = ["row_order"] if versions.facts.rows.source.row_order else []
        return [*columns, "known_time", "event_time", "deleted", *(self.quoted(f"by_{c}") for c in versions.order)]

    def version_order(self, visible: Visible | Settled, *, descending: bool) -> str:
        """ORDER BY of versions."""
        direction = "DESC NULLS LAST" if descending else "ASC NULLS FIRST"
        return ", ".join(f"{c} {direction}" for c in self.deciding(visible))


def _versions(visible: Visible | Settled) -> InForce:
    _, versions, _ = chain_of(visible)
    assert versions is not None
    return versions
