"""Static look-ups in Spark SQL: the one row of a key, the same for every instant."""

from __future__ import annotations

from featurestore.compiler.latest import FOUND, NOT_FOUND
from featurestore.compiler.spark.facts import (
    input_name,
    key_names,
    key_selects,
    not_null,
    on_keys,
    relation,
    where,
    where_holds,
)
from featurestore.compiler.spark.latest import value
from featurestore.compiler.spark.scalars import canonical, quoted
from featurestore.compiler.statement import Steps, listed
from featurestore.plan.nodes import StaticLookup


def add_static_rows(steps: Steps, plan: StaticLookup) -> None:
    """The step `facts`: rows with a key, inputs canonical, that the view's condition keeps."""
    columns = key_selects(plan.keys)
    columns += [f"{canonical(quoted(c.name), c.dtype)} AS {input_name(c.name)}" for c in plan.inputs]
    kept = where(plan.rows, *([] if plan.condition is None else [where_holds(plan.rows, plan.condition)]))
    steps.add("rows_read", f"rows of static source {plan.rows.source.name}",
              f"SELECT\n{listed(columns)}\nFROM {quoted(relation(plan.rows.source))}{kept}")  # fmt: skip
    keys = key_names(plan.keys)
    steps.add("facts", "rows with a key", f"SELECT * FROM rows_read WHERE {not_null(keys)}")


def duplicates(plan: StaticLookup) -> str:
    """The statement that counts the rows of the first key with several: key columns, rows. Empty when all is well."""
    steps = Steps()
    add_static_rows(steps, plan)
    keys = ", ".join(key_names(plan.keys))
    return steps.finish(
        "keys with more than one row",
        f"SELECT {keys}, count(*) AS rows\nFROM facts\nGROUP BY {keys}\nHAVING count(*) > 1\nORDER BY {keys}\nLIMIT 1",
    )


def static(plan: StaticLookup) -> str:
    """The statement: __row, __event (NULL), __match, then the outputs; in any order."""
    steps = Steps()
    add_static_rows(steps, plan)
    keys = key_names(plan.keys)
    types = {c.name: c.dtype for c in plan.inputs}
    found = f"f.{keys[0]} IS NOT NULL"
    columns = [
        "s.row_id AS __row",
        "CAST(NULL AS BIGINT) AS __event",
        f"CAST(CASE WHEN {found} THEN {FOUND} ELSE {NOT_FOUND} END AS TINYINT) AS __match",
        *(f"CASE WHEN {found} THEN {value(o, types, lambda c: f'f.{input_name(c)}')} END AS {quoted(o.name)}"
          for o in plan.outputs),
    ]  # fmt: skip
    return steps.finish(
        "the answer", f"SELECT\n{listed(columns)}\nFROM spine AS s LEFT JOIN facts AS f ON {on_keys('s', 'f', keys)}"
    )
