"""The static proof: in a plan, every source reaches a feature only through visibility, and labels stay among labels.

On-demand features read no source at all: what they are given is what the parts gave, the spine's own row, and its instant.

It looks at the plan alone, so it holds for every dialect. What it cannot see, whether a dialect lowers `Visible` right,
is checked against the oracle and by the mutants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from featurestore import expressions
from featurestore.errors import DefinitionError
from featurestore.plan.nodes import (
    LabelOf,
    Latest,
    OnlineState,
    Output,
    ReadSource,
    ReadSpine,
    Settled,
    StaticLookup,
    TrainingSet,
    Visible,
    Window,
    children,
    walk,
)

Path = tuple[object, ...]
"""Nodes from an answer down to a source, which is the last."""


def prove(plan: TrainingSet | OnlineState) -> None:
    """Raises: DefinitionError FS221 naming the source that reaches an answer unseen by the boundary, a feature as only a
    label may, or a label from a time when features still see."""
    if isinstance(plan, OnlineState):
        _prove([plan], _feature_fault)
        return
    _prove(plan.parts, _feature_fault)
    exact = any(isinstance(node, Visible) and node.exact for part in plan.parts for node in walk(part))
    _prove(plan.labels, lambda path: _label_fault(path, exact))
    _prove_on_demand(plan)


def _prove(answers: Sequence[object], fault: Callable[[Path], str]) -> None:
    for path in (path for answer in answers for path in _paths(answer, ())):
        source = path[-1]
        assert isinstance(source, ReadSource)
        if found := fault(path):
            raise DefinitionError("FS221", f"source {source.source.name!r} {found}", where=source.source.place)


def _prove_on_demand(plan: TrainingSet) -> None:
    """Raises: DefinitionError FS221 for an operand that no part gives, or a name that is no operand."""
    given = {output.name for part in plan.parts for output in part.part.outputs}
    for node in plan.on_demand:
        read = {c for output in node.outputs if output.expression is not None for c in expressions.columns(output.expression)}
        unknown = read - set(node.types) | {o.name for o in node.operands if o.origin == "feature" and o.column not in given}
        if unknown or any(o.aggregate for o in node.outputs):
            what = f"on-demand view {node.name!r} reads {sorted(unknown)}, which no part of the plan gives"
            raise DefinitionError("FS221", what, where=node.view)


def _feature_fault(path: Path) -> str:
    """What is wrong with the way from a feature down to its source; "" if nothing."""
    if any(isinstance(node, LabelOf | Settled) or _asks_ahead(node) for node in path):
        return "reaches a feature as only a label may"
    if any(isinstance(node, Visible) for node in path):
        return ""
    source = path[-1]
    if any(isinstance(node, StaticLookup) for node in path) and isinstance(source, ReadSource) and source.source.static:
        return ""
    return "reaches the answer without a boundary in time"


def _label_fault(path: Path, exact: bool) -> str:
    """What is wrong with the way from a label down to its source. exact: some feature sees what happens at as_of."""
    windows = [node for node in path if isinstance(node, Window)]
    settled = [node for node in path if isinstance(node, Settled)]
    if not windows or not settled or any(isinstance(node, Visible) for node in path):
        return "reaches a label otherwise than settled"
    if not all(_after(output, window.spine) for window in windows for output in window.outputs):
        return "reaches a label from before the row's own instant"
    if exact and not all(node.exact for node in settled):
        return "has facts that are both feature and label"
    return ""


def _asks_ahead(node: object) -> bool:
    return any(isinstance(child, ReadSpine) and child.ahead for child in children(node))


def _after(output: Output, spine: ReadSpine) -> bool:
    """The window of an output begins at as_of or later."""
    return output.window is not None and spine.ahead >= output.offset + output.window


def _paths(node: object, above: Path) -> list[Path]:
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
    for part in plan.answers:
        if isinstance(part.part, Latest | Window):
            found |= {
                n.source.name
                for path in _paths(part.part, ())
                for n in path
                if isinstance(n, ReadSource) and n.source.assumed_known_at_once
            }
    return sorted(found)
