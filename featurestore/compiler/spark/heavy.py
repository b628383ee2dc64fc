"""The statement that finds heavy keys, and cuts their timelines into stretches of about equal numbers of rows."""

from __future__ import annotations

from featurestore.compiler.spark.facts import add_facts, add_intervals, key_names
from featurestore.compiler.statement import Steps
from featurestore.plan.nodes import Latest, Window, facts_of


def cuts(plan: Latest | Window) -> str:
    """The statement: the keys of more than :least facts and spine rows together, and `cuts`: ticks in ascending order, at each
    of which a stretch of about :stretch rows begins."""
    steps, keys = Steps(), key_names(plan.spine.keys)
    by = ", ".join(keys)
    add_facts(steps, plan.facts)
    facts = "facts"
    if facts_of(plan.facts)[1] is not None:
        add_intervals(steps, plan.facts)
        facts = "(SELECT * FROM intervals WHERE until IS NULL)"
    steps.add("instants", "spine rows and facts, by the instant they ask or count from",
              f"SELECT {by}, asked_at AS at FROM spine\nUNION ALL\n"
              f"SELECT {by}, greatest(event_time, known_time) FROM {facts}")  # fmt: skip
    steps.add("counted", "keys that have many",
              f"SELECT {by}, count(*) AS rows\nFROM instants\nGROUP BY {by}\nHAVING count(*) > :least")  # fmt: skip
    steps.add("placed", "a sketch of where those of each lie",
              f"SELECT {by}, rows, percentile_approx(at, {_SHARES}, 10000) AS places\n"
              f"FROM instants JOIN counted USING ({by})\nGROUP BY {by}, rows")  # fmt: skip
    each = f"greatest(1, CAST({_PLACES} * CAST(:stretch AS DOUBLE) / rows AS INT))"
    return steps.finish(
        "every so many of those places",
        f"SELECT {by},\n  array_sort(array_distinct(transform(\n"
        f"    filter(places, (p, i) -> (i + 1) % {each} = 0), p -> 2 * p + 1\n  ))) AS cuts\nFROM placed",
    )


_PLACES = 255
_SHARES = "transform(sequence(1, 255), i -> i / 256D)"
