"""DuckDB SQL for every part of a plan."""

from featurestore.compiler.duckdb.counts import REASONS, ambiguous, left_out
from featurestore.compiler.duckdb.facts import SOURCE_PREFIX, relation
from featurestore.compiler.duckdb.latest import EXPIRED, FOUND, NOT_FOUND, latest
from featurestore.compiler.duckdb.online import HELD, IN_WINDOW, LATEST, NEW_PREFIX, online_state, touched
from featurestore.compiler.duckdb.scalars import MACROS, quoted
from featurestore.compiler.duckdb.static import duplicates, static
from featurestore.compiler.duckdb.types import key_type, sql_type
from featurestore.compiler.duckdb.windows import needs_exact_sum, needs_overflow_check, windows
from featurestore.plan.nodes import Latest, Part, StaticLookup, Window


def part(plan: Part) -> str:
    """The SQL of one part of a training set: __row first, ordered by it."""
    if isinstance(plan, Latest):
        return latest(plan)
    if isinstance(plan, Window):
        return windows(plan)
    assert isinstance(plan, StaticLookup)
    return static(plan)


__all__ = [
    "EXPIRED", "FOUND", "HELD", "IN_WINDOW", "LATEST", "MACROS", "NEW_PREFIX", "NOT_FOUND", "REASONS", "SOURCE_PREFIX",
    "ambiguous",
    "duplicates", "key_type", "latest", "left_out", "needs_exact_sum", "needs_overflow_check", "online_state", "part", "quoted",
    "relation", "sql_type", "static", "touched", "windows",
]  # fmt: skip
