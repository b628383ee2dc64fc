"""On-demand features: expressions over the relation `asked`, a row per spine row with what the row itself has.

`asked` holds `row_id` and the operands as `in_…`, which is all that a statement can name: no source, no other row.
"""

from __future__ import annotations

from featurestore import trees
from featurestore.compiler.duckdb.facts import input_name
from featurestore.compiler.duckdb.scalars import condition, quoted, scalar
from featurestore.compiler.statement import listed
from featurestore.plan.nodes import OnDemand

ASKED = "asked"
MISSED = "__without_value"
"""What ends the name of a column that tells whether an operation of a feature had no value."""


def operand_column(name: str) -> str:
    """How a column of `asked` is called."""
    return f"in_{name}"


def on_demand(node: OnDemand) -> str:
    """The statement: __row, each feature, and then for those that may lack it a flag `<name>__without_value`."""
    values, flags, types = ["row_id AS __row"], list[str](), node.types
    for output in node.outputs:
        assert output.expression is not None
        values.append(f"{scalar(output.expression, types, input_name, output.dtype)} AS {quoted(output.name)}")
        missed = trees.without_value(output.expression, types)
        if missed is not None:
            flags.append(f"{condition(missed, types, input_name)} AS {quoted(output.name + MISSED)}")
    asked = f",\n  -- whether an operation had operands and no value\n{listed(flags)}" if flags else ""
    return f"-- the features, each from its own row alone\nSELECT\n{listed(values)}{asked}\nFROM {ASKED}\nORDER BY __row\n"
