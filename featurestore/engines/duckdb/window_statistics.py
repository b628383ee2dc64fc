"""What is known of the data before windows are computed: how much of it, how dense, how large its numbers are.

What values depend on is exact (magnitudes, NULLs, the greatest lateness); what only the choice of a plan depends on comes
from samples (facts per key, how late facts are known).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featurestore.compiler.duckdb import windows as sql
from featurestore.compiler.duckdb.facts import is_simple
from featurestore.dtypes import DOUBLE, INT64
from featurestore.engines.duckdb.session import Session
from featurestore.expressions import Column
from featurestore.intervals import FOREVER
from featurestore.plan.nodes import Measure, Window, chain_of, facts_of, measures
from featurestore.sources import SourceData
from featurestore.sources.footers import extents

SAMPLED_ROWS, SAMPLED_FACTS = 1_000, 100_000
FACTS_PER_ROW = 10
"""One spine row is assumed for so many facts where nobody has given a spine."""
SHARES = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Statistics:
    """What is known of the data: facts, the first and last instant of any, spine rows, keys asked for, the facts per key
    a row meets, and the most of any of the sampled rows' keys; of measures their magnitudes, and which are never NULL,
    always finite, or integers so small that a double holds any sum; latest: how late any fact is known, where there are no
    versions; soon: for some lengths of time the share of facts known so long after they happened."""

    facts: int
    first: int
    last: int
    rows: int
    lines: int
    per_key: float
    most: int
    magnitudes: Mapping[int, tuple[float, float]]
    never_null: frozenset[int] = frozenset()
    finite: frozenset[int] = frozenset()
    small: frozenset[int] = frozenset()
    latest: int | None = None
    soon: Mapping[int, float] = field(default_factory=dict)

    @property
    def several(self) -> int:
        """How many bits more a sum may have than its terms: over all facts, twice (a replaced version counts once more)."""
        return (2 * self.facts).bit_length()

    def in_reach(self, reach: int | None) -> float:
        """The facts of its key that a row meets in a reach before it."""
        return self.per_key if reach is None else self.per_key * min(1.0, reach / max(self.last - self.first, 1))


def statistics(
    session: Session, plan: Window, parameters: Mapping[str, object], rows: int | None, held: int,
    whole: SourceData | None = None,
) -> Statistics:  # fmt: skip
    """Two narrow passes over the source. rows: of the spine; None: to be assumed. held: those of them that are bound.
    whole: the source, if no row of it is left out: then much of it is known from footers."""
    used, every = measures(plan.outputs), max(held // SAMPLED_ROWS, 1)
    found = {} if whole is None else _from_footers(plan, parameters, used, whole)
    if unknown := sql.statistics(plan, used, found):
        found |= session.table(unknown, parameters).to_pylist()[0]
    (density,) = session.table(sql.densities(plan, every), parameters).to_pylist()
    numbers, facts = dict(enumerate(used, 1)), int(found["facts"] or 0)
    doubles = [n for n, measure in numbers.items() if measure.dtype == DOUBLE]
    full = frozenset(n for n in numbers if f"present_{n}" in found and int(found[f"present_{n}"] or 0) == facts)
    return Statistics(
        facts,
        found["first_instant"] or 0,
        found["last_instant"] or 0,
        max(facts // FACTS_PER_ROW, 1) if rows is None else rows,
        int(density["lines"]),
        float(density["met"]) / max(-(-held // every), 1),
        int(density["most"]),
        {n: (found[f"least_{n}"], found[f"greatest_{n}"]) for n in doubles if found[f"least_{n}"] is not None},
        never_null=full,
        finite=frozenset(n for n in doubles if found[f"finite_{n}"] == found[f"present_{n}"]),
        small=frozenset(n for n, m in numbers.items() if m.dtype == INT64 and _is_small(found, facts, n)),
        latest=found["latest"] if facts_of(plan.facts)[1] is None else None,
        soon=_known_soon(session, plan, parameters, facts),
    )


def _from_footers(plan: Window, parameters: Mapping[str, object], used: Sequence[Measure], data: SourceData) -> dict[str, Any]:
    """What `sql.statistics` would count, or bounds of it, of a source of which every row counts."""
    facts, _, where = chain_of(plan.facts)
    if where is not None or parameters["known_before"] != FOREVER:
        return {}
    source, plain = facts.rows.source, {c.name: c.dtype for c in facts.inputs}
    columns = {
        n: m.expression.name
        for n, m in enumerate(used, 1)
        if m.dtype in (DOUBLE, INT64) and isinstance(m.expression, Column) and m.where is None
    }
    known = extents(data, [*source.time_columns, *columns.values()])
    event, last = known[source.time_columns[0]], known[source.time_columns[-1]]
    late = int(str(parameters["known_shift"])) + (0 if source.created_timestamp else source.known_delay.micros)
    found = {
        "facts": data.rows,
        "first_instant": min(event.least, last.least + late),
        "last_instant": max(event.greatest, last.greatest + late),
    }
    if source.created_timestamp is None:
        found["latest"] = late
    for number, column in columns.items():
        extent, whole_numbers = known[column], used[number - 1].dtype == INT64 and plain[column].is_integer
        if extent.nulls is not None and (extent.ends is not None or not whole_numbers):
            found[f"present_{number}"] = data.rows - extent.nulls
        if extent.ends is not None and whole_numbers:
            found |= {f"least_{number}": extent.least, f"greatest_{number}": extent.greatest}
    return found


def _known_soon(session: Session, plan: Window, parameters: Mapping[str, object], facts: int) -> dict[int, float]:
    """Microseconds -> the share of facts known so long after they happened, for plans that split the facts there."""
    if is_simple(plan.facts) or not any("split" in sql.plans_for(plan, strand) for strand in sql.strands(plan)):
        return {}
    (found,) = session.table(sql.lateness(plan, SHARES, max(facts // SAMPLED_FACTS, 1)), parameters).to_pylist()
    return {0: found["at_once"], **{found[f"soon_{i}"] or 0: share for i, share in enumerate(SHARES, 1)}}


def _is_small(found: Mapping[str, Any], facts: int, number: int) -> bool:
    """A double holds the sum of all values of a measure of integers, twice (a replaced version counts once more)."""
    ends = [abs(found[f"{end}_{number}"] or 0) for end in ("least", "greatest")]
    return bool(2 * facts * max(ends) < 2**53)
