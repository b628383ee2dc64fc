"""A plan in words, for people: the text of `featurestore explain` and of sql/plan/*.txt. Byte-stable."""

from __future__ import annotations

from collections.abc import Iterator

from featurestore import expressions
from featurestore.intervals import Duration
from featurestore.plan.leakage import assumed_known_at_once, static_sources
from featurestore.plan.nodes import (
    Facts,
    InForce,
    LabelOf,
    Latest,
    OnDemand,
    Output,
    PartOf,
    ReadSource,
    ReadSpine,
    Settled,
    StaticLookup,
    TrainingSet,
    Visible,
    Where,
    Window,
    children,
)
from featurestore.registry import Operand


def explain(plan: TrainingSet) -> str:
    """The plan as an indented tree, then what it takes on trust."""
    lines = [f"TrainingSet {plan.service}: the spine's rows and columns, then {', '.join(plan.columns)}"]
    if plan.labels:
        lines[0] += f"; then the labels {', '.join(o.name for label in plan.labels for o in label.part.outputs)}"
    for part in plan.answers:
        lines += [f"  {line}" for line in _part(part)]
    for node in plan.on_demand:
        lines += [f"  {line}" for line in _on_demand(node)]
    for name in static_sources(plan):
        lines.append(f"trust: source {name} is static, the same for every instant")
    for name in assumed_known_at_once(plan):
        lines.append(f"trust: source {name} is assumed known at once (declare created_timestamp or delay)")
    return "\n".join(lines) + "\n"


def _part(part: PartOf | LabelOf) -> Iterator[str]:
    kind = "label view" if isinstance(part, LabelOf) else "view"
    yield f"{part.instance} ({kind} {part.view}, fingerprint {part.fingerprint})"
    if isinstance(part, LabelOf):
        yield f"  Label: {_covered(part)}; mature where as_of + {Duration(part.horizon)} <= cut-off and greatest known time"
    yield from (f"  {line}" for line in _node(part.part))


def _covered(label: LabelOf) -> str:
    """The event times of a label, from the row's instant on."""
    window = label.part
    (output,) = window.outputs
    end = window.spine.ahead
    begin = end - (output.window or 0)
    times = ", ".join(f"as_of + {Duration(at)}" if at else "as_of" for at in (begin, end))
    return f"what happens in ({times}]" if window.facts.exact else f"what happens in [{times})"


def _on_demand(node: OnDemand) -> Iterator[str]:
    yield f"{node.name} (on-demand view {node.view}, fingerprint {node.fingerprint})"
    for output in node.outputs:
        yield f"  OnDemand: {formula(output)}"
    yield f"    Row: {', '.join(read_from(o) for o in node.operands) or 'nothing'}"


def read_from(operand: Operand) -> str:
    """Where an operand comes from, in words."""
    if operand.origin != "feature":
        return operand.name if operand.origin == "as_of" else f"request {operand.name}"
    return operand.name if operand.name == operand.column else f"{operand.name} (hidden {operand.column})"


def _node(node: object) -> Iterator[str]:
    yield _describe(node)
    for child in children(node):
        yield from (f"  {line}" for line in _node(child))


def _describe(node: object) -> str:
    match node:
        case Latest(ttl=ttl, outputs=outputs):
            age = "of any age" if ttl is None else f"at most {Duration(ttl)} old"
            return f"Latest: newest visible fact, {age} -> {_names(outputs)}"
        case Window(outputs=outputs):
            return "Window: " + "; ".join(formula(o) for o in outputs)
        case StaticLookup(outputs=outputs):
            return f"StaticLookup: the one row of the key -> {_names(outputs)}"
        case Visible(exact=exact):
            bound = "at or before as_of" if exact else "strictly before as_of"
            return f"Visible: max(event, known) {bound}, and known before the cut-off"
        case Settled():
            return "Settled: in force at the cut-off, whenever it became known"
        case Where(condition=condition):
            return f"Where: {expressions.normalised(condition)}"
        case InForce(row_key=row_key):
            return f"InForce: of each {', '.join(row_key)} the newest version known"
        case Facts(rows=rows, keys=keys):
            by = ", ".join(k.source_column for k in keys) or "no key"
            return f"Facts: by {by}, event {rows.source.event_timestamp}, {_known(rows)}"
        case ReadSource(source=source, columns=columns, kept_if=kept_if):
            aside = f"; in quarantine unless {' and '.join(reason for reason, _ in kept_if)}" if kept_if else ""
            return f"ReadSource {source.name}: {', '.join(c.name for c in columns)}{aside}"
        case ReadSpine(keys=keys, ahead=ahead):
            at = f"as_of + {Duration(ahead)}" if ahead else "as_of"
            return f"ReadSpine: {', '.join(k.spine_column for k in keys) or 'no key'}, {at}"
    raise AssertionError(node)


def _known(rows: ReadSource) -> str:
    source = rows.source
    if source.created_timestamp:
        return f"known {source.created_timestamp}"
    return f"known after {source.known_delay}"


def _names(outputs: tuple[Output, ...]) -> str:
    return ", ".join(o.name for o in outputs)


def formula(output: Output) -> str:
    """How a value is made, on one line: `amount_sum_7d = sum(amount) over 7d`."""
    if output.aggregate is None:
        assert output.expression is not None
        return f"{output.name} = {expressions.normalised(output.expression)}"
    length = "lifetime" if output.window is None else str(Duration(output.window))
    shift = f" offset {Duration(output.offset)}" if output.offset else ""
    what = "" if output.expression is None else expressions.normalised(output.expression)
    where = "" if output.where is None else f" where {expressions.normalised(output.where)}"
    if output.parameter is not None:
        what += f", {output.parameter}"
    return f"{output.name} = {output.aggregate}({what}) over {length}{shift}{where}"
