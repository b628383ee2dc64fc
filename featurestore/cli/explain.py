"""`featurestore explain`: what a service means, in words or as SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli.answer import Answer
from featurestore.cli.command import Run
from featurestore.cli.compile import DialectOption, check_dialect
from featurestore.cli.stale import warn_if_stale
from featurestore.errors import NOT_THERE, FeatureStoreError

if TYPE_CHECKING:
    from featurestore.compiler.duckdb import PartStatement
    from featurestore.registry import BoundService
    from featurestore.retrieval.window_plans import Chosen

ServiceArgument = Annotated[str, typer.Argument(metavar="SERVICE", help="A feature service of the project.")]


def explain(
    run: Run,
    service: ServiceArgument,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of the plan.")] = False,
    dialect: DialectOption = None,
    spine: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Choose plans of windows for this spine."),
    ] = None,
    as_of_column: Annotated[str, typer.Option(metavar="COLUMN", help="The spine's column of instants.")] = "as_of",
) -> Answer:
    """Say what a service means: its plan, or its SQL.

    The plan ends with what it takes on trust: static sources, and those assumed known at once. Where the data is, it also
    says how windows would be computed, at what estimated cost, and why; --sql then prints the statements of those plans.

    Example:
      featurestore explain fraud_v1 --spine data/spine.parquet
    """
    from featurestore import plan as planning
    from featurestore.compiler.files import DIALECTS, training_set_sql
    from featurestore.plan.leakage import assumed_known_at_once, static_sources

    check_dialect(dialect)
    bound = run.store.bound_service(service)
    logs = run.store.push_positions(bound.sources)
    plan = planning.with_pushed(planning.training_set(bound), logs)
    warn_if_stale(run)
    chosen = _chosen(run, bound, spine, as_of_column)
    said = planning.explain(plan) + _pushed(logs) + _windows(run, chosen)
    by_spark = dialect == "spark"
    text = training_set_sql(bound, plan, None if by_spark else _statements(chosen), dialect or DIALECTS[0]) if sql else said
    result = {
        "service": bound.name,
        "fingerprint": bound.fingerprint,
        "keys": {column: key.dtype.name for column, key in bound.spine_keys.items()},
        "request": {name: dtype.name for name, dtype in bound.request.items()},
        "features": {name: dtype.name for name, dtype in bound.feature_types.items()},
        "labels": {name: dtype.name for name, dtype in bound.label_types.items()},
        "plan": planning.explain(plan),
        "push_logs": logs,
        "static": static_sources(plan),
        "assumed_known_at_once": assumed_known_at_once(plan),
        "windows": _described(run, chosen),
        "dialect": dialect or DIALECTS[0],
        "sql": text if sql else None,
        "warnings": run.warnings,
    }
    return Answer(result, text)


def _chosen(run: Run, service: BoundService, spine: str | None, as_of: str) -> list[Chosen] | None:
    """How windows would be computed, or None where the data is absent and no spine insists on it."""
    try:
        return run.store.window_plans(service.service, spine, as_of=as_of)
    except FeatureStoreError as error:
        if spine is None and error.code in NOT_THERE:
            return None
        raise


def _statements(chosen: list[Chosen] | None) -> dict[str, list[PartStatement]] | None:
    from featurestore.compiler.duckdb import PartStatement

    if chosen is None:
        return None
    return {one.instance: [PartStatement(c.outputs, c.sql, c.plan) for c in one.choices] for one in chosen}


def _described(run: Run, chosen: list[Chosen] | None) -> dict[str, Any] | None:
    from featurestore.engines.duckdb.window_choice import described
    from featurestore.retrieval.window_plans import why

    wanted = run.store.config.offline.window_plan
    return None if chosen is None else {
        one.instance: {
            "rows": one.rows, "at_once": one.at_once,
            "plans": [{**described(c), "why": why(one, c, wanted)} for c in one.choices],
        }
        for one in chosen
    }  # fmt: skip


def _pushed(logs: Mapping[str, int]) -> str:
    rows = (f"rows pushed to {name}: up to position {position}, known from their arrival on" for name, position in logs.items())
    return "".join(f"{line}\n" for line in rows)


def _windows(run: Run, chosen: list[Chosen] | None) -> str:
    from featurestore.retrieval.window_plans import why

    wanted = run.store.config.offline.window_plan
    lines = [f"windows of {one.instance} by {why(one, choice, wanted)}" for one in chosen or () for choice in one.choices]
    if at := next((one.at_once for one in chosen or () if one.at_once), None):
        lines.append(f"every row of the spine asks at {at}: latest values by snapshot as well")
    return "".join(f"{line}\n" for line in lines)
