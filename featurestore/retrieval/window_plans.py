"""Which plans a build would compute a service's windows by, and why: asked of the data, without building anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from featurestore import plan as planning
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.duckdb.checks import pushed_to
from featurestore.engines.duckdb.window_choice import AUTO, Choice, choose_without_spine
from featurestore.plan.nodes import Window
from featurestore.registry import BoundService
from featurestore.retrieval.spine import Spine
from featurestore.retrieval.training_set import Build, Request, run_parameters, sources_of
from featurestore.sources import SourceData


@dataclass(frozen=True)
class Chosen:
    """rows: of the spine, or assumed. choices: what each statement of the part would compute, and how. at_once: the instant at
    which all rows of the spine ask, if it is one."""

    instance: str
    rows: int
    choices: tuple[Choice, ...]
    at_once: str | None = None


def window_plans(
    service: BoundService, sources: Mapping[str, SourceData], settings: Settings, spine: Spine | None, request: Request
) -> list[Chosen]:
    """One entry per view instance with windows, and per label.

    Without a spine one row for ten facts is assumed, keyed as they are.
    Raises: SpineError, SourceError.
    """
    if spine is not None:
        with Build(service, spine, sources, settings, request) as build:
            at_once = build.report.at_once
            return [Chosen(part.instance, spine.rows, tuple(build.choices(part)), at_once) for part in build.window_parts]
    found = []
    for part in planning.with_pushed(planning.training_set(service), pushed_to(sources)).answers:
        if not isinstance(part.part, Window):
            continue
        with Session(settings) as session:
            for source, columns in sources_of(part.part).items():
                session.bind_source(sources[source], [c.name for c in columns], {c.name: c.dtype for c in columns})
            parameters = run_parameters(request.known_before, request.serving_lag, exact=part.part.facts.exact)
            rows, choices = choose_without_spine(session, part.part, parameters, wanted=settings.window_plan)
        found.append(Chosen(part.instance, rows, tuple(choices)))
    return found


def why(chosen: Chosen, choice: Choice, wanted: str) -> str:
    """The reason for a choice, in a few words."""
    names = ", ".join(o.name for o in choice.outputs)
    if wanted not in (AUTO, choice.plan):
        return f"{choice.plan}: {names} (the plan set, {wanted}, cannot serve them)"
    if wanted == choice.plan:
        return f"{choice.plan}: {names} (set by offline.window_plan)"
    costs = ", ".join(f"{name} {cost:,.1f}" for name, cost in sorted(choice.estimates.items(), key=lambda item: item[1]))
    return f"{choice.plan}: {names} (the least of the estimates for {chosen.rows:,} rows, in millions handled: {costs})"


__all__ = ["Chosen", "why", "window_plans"]
