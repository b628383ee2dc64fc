"""`featurestore explain`: what a service means, in words or as SQL."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.answer import Answer
from featurestore.cli.command import Run
from featurestore.cli.compile import DialectOption, check_dialect
from featurestore.cli.stale import warn_if_stale

ServiceArgument = Annotated[str, typer.Argument(metavar="SERVICE", help="A feature service of the project.")]


def explain(
    run: Run,
    service: ServiceArgument,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of the plan.")] = False,
    dialect: DialectOption = None,
) -> Answer:
    """Say what a service means: its plan, or its SQL.

    The plan ends with what it takes on trust: static sources, and those assumed known at once.

    Example:
      featurestore explain fraud_v1 --sql
    """
    from featurestore import plan as planning
    from featurestore.compiler.files import DIALECTS, training_set_sql
    from featurestore.plan.leakage import assumed_known_at_once, static_sources

    check_dialect(dialect)
    bound = run.store.bound_service(service)
    plan = planning.training_set(bound)
    warn_if_stale(run)
    text = training_set_sql(bound, plan) if sql else planning.explain(plan)
    result = {
        "service": bound.name,
        "fingerprint": bound.fingerprint,
        "keys": {column: key.dtype.name for column, key in bound.key_columns.items()},
        "features": {name: dtype.name for name, dtype in bound.feature_types.items()},
        "plan": planning.explain(plan),
        "static": static_sources(plan),
        "assumed_known_at_once": assumed_known_at_once(plan),
        "dialect": dialect or DIALECTS[0],
        "sql": text if sql else None,
        "warnings": run.warnings,
    }
    return Answer(result, text)
