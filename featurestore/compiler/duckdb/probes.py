"""What a view's source says of itself to those who verify: which keys it names, and when their facts happened.

A seeded hash picks among them, so that one seed asks the same questions of the same files.
"""

from __future__ import annotations

from featurestore.compiler.duckdb.facts import add_rows_read, key_names, not_null, relation
from featurestore.compiler.duckdb.online import add_in_force
from featurestore.compiler.duckdb.static import add_static_rows
from featurestore.compiler.statement import Steps
from featurestore.plan.nodes import OnlineState, StaticLookup, facts_of


def keys_read(plan: OnlineState) -> str:
    """The statement that draws $count keys, any version of any row names them: key columns, none NULL. $seed picks."""
    steps = Steps()
    if isinstance(plan.facts, StaticLookup):
        add_static_rows(steps, plan.facts)
        keys = key_names(plan.facts.keys)
    else:
        facts, _, _ = facts_of(plan.facts)
        add_rows_read(steps, plan.facts, "rows_read", relation(facts.rows.source))
        keys = key_names(facts.keys)
    listed = ", ".join(keys)
    steps.add("named", "the keys that rows name", f"SELECT DISTINCT {listed} FROM rows_read WHERE {not_null(keys)}")
    return steps.finish("some of them", f"SELECT {listed}\nFROM named\nORDER BY hash({listed}, $seed), {listed}\nLIMIT $count")


def times_of_facts(plan: OnlineState) -> str:
    """The statement that draws, of each key in the relation `touched`, event times of $each facts: key columns, event_time.

    The facts are those in force at the watermark ($known_before) with event times from $since up to the horizon ($horizon
    after the watermark). $seed picks.
    """
    assert not isinstance(plan.facts, StaticLookup)
    steps = Steps()
    add_in_force(steps, plan.facts, limited=True)
    keys = ", ".join(key_names(facts_of(plan.facts)[0].keys))
    return steps.finish(
        "some of their event times",
        f"SELECT {keys}, event_time\nFROM (SELECT DISTINCT {keys}, event_time FROM current WHERE event_time >= $since)\n"
        f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY hash(event_time, $seed), event_time) <= $each\n"
        f"ORDER BY {keys}, event_time",
    )


__all__ = ["keys_read", "times_of_facts"]
