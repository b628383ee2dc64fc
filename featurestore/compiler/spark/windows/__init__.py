"""Windows in Spark SQL."""

from __future__ import annotations

from featurestore.compiler.spark.statements import PartStatement
from featurestore.plan.nodes import Window


def statements(plan: Window) -> list[PartStatement]:
    raise NotImplementedError(plan)
