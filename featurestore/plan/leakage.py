"""The static proof: in a plan, every source reaches the answer only through visibility.

On-demand features read no source at all: what they are given is what the parts gave, the spine's own row, and its instant.

It looks at the plan alone, so it holds for every dialect. What it cannot see, whether a dialect lowers `Visible` right,
is checked against the oracle and by the mutants.
"""

from __future__ import annotations

from featurestore import expressions
from featurestore.errors import DefinitionError
from featurestore.plan.nodes import (
    Latest,
    OnlineState,
    ReadSource,
    StaticLookup,
    TrainingSet,
    Visible,
    Window,
    children,
)


def prove(plan: TrainingSet | OnlineState) -> None:
    """Raises: DefinitionError FS221 naming the source that reaches an answer unseen by the boundary."""
    for path in _paths(plan, ()):
        source = path[-1]
        assert isinstance(source, ReadSource)
        if any(isinstance(node, Visible) for node in path):
            continue
        if any(isinstance(node, StaticLookup) for node in path) and source.source.static:
            continue
        raise DefinitionError(
            "FS221",
            f"source {source.source.name!r} reaches the answer without a boundary in time",
            where=source.source.place,
        )
    if isinstance(plan, TrainingSet):
        _prove_on_demand(plan)


def _prove_on_demand(plan: TrainingSet) -> None:
    """Raises: DefinitionError FS221 for an operand that no part gives, or a name that is no operand."""
    given = {output.name for part in plan.parts for output in part.part.outputs}
    for node in plan.on_demand:
        read = {c for output in node.outputs if output.expression is not None for c in expressions.columns(output.expression)}
        unknown = read - set(node.types) | {o.name for o in node.operands if o.origin == "feature" and o.column not in given}
        if unknown or any(o.aggregate for o in node.outputs):
            what = f"on-demand view {node.name!r} reads {sorted(unknown)}, which no part of the plan gives"
            raise DefinitionError("FS221", what, where=node.view)


def _paths(node: object, above: tuple[object, ...]) -> list[tuple[object, ...]]:
    here = (*above, node)
    if isinstance(node, ReadSource):
        return [here]
    return [path for child in children(node) for path in _paths(child, here)]


def static_sources(plan: TrainingSet) -> list[str]:
    """The sources without history in a plan: the part of its promise the reader must take on trust."""
    found = {p.part.rows.source.name for p in plan.parts if isinstance(p.part, StaticLookup)}
    return sorted(found)


def assumed_known_at_once(plan: TrainingSet) -> list[str]:
    """The sources that declare nothing about when their rows become known."""
    found = set()
    for part in plan.parts:
        if isinstance(part.part, Latest | Window):
            found |= {
                n.source.name
                for path in _paths(part.part, ())
                for n in path
                if isinstance(n, ReadSource) and n.source.assumed_known_at_once
            }
    return sorted(found)
