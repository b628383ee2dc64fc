"""Which columns a value is made of, and which decide about it without being in it: read off the plan, which holds all of both.

A column that is named here may change the value; one that is not cannot, whatever stands in it. How this is told to others
is the business of `featurestore.openlineage`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from featurestore import expressions
from featurestore.plan.explain import formula
from featurestore.plan.nodes import (
    Facts,
    InForce,
    LabelOf,
    OnDemand,
    OnlineState,
    Output,
    Part,
    PlanKey,
    ReadSource,
    ReadSpine,
    Settled,
    StaticLookup,
    TrainingSet,
    Visible,
    chain_of,
)

AS_OF = "as_of"
"""The name here of the spine's column of instants, whatever the spine calls it."""


@dataclass(frozen=True)
class Use:
    """One way in which a column bears on a value.

    source: whose column it is; None: the spine's. direct: the value is made of it; else it decides which rows count.
    how: IDENTITY, TRANSFORMATION, AGGREGATION; or JOIN, FILTER, SORT, WINDOW, GROUP_BY, CONDITIONAL. why: in words; of what
    decides, one of `WHYS`.
    """

    source: str | None
    column: str
    direct: bool
    how: str
    why: str

    @property
    def role(self) -> str:
        """What the column is to the value: "value", "request" or "as_of" where it is made of it, else as `WHYS` says."""
        if not self.direct:
            return WHYS[self.why]
        return "value" if self.source is not None else AS_OF if self.column == AS_OF else "request"


WHYS: Mapping[str, str] = {
    "condition": "condition", "where": "where", "quarantine": "quarantine", "join key": "key", "event time": "time",
    "known time": "known", "settled": "known", "row key": "row_key", "deleted": "deleted", "row order": "row_order",
    "version order": "version", "ties": "tie", "as of": AS_OF,
}  # fmt: skip
"""In words, why a column decides about a value it is not in -> its role."""


def lineage(plan: TrainingSet | OnlineState | LabelOf) -> dict[str, tuple[Use, ...]]:
    """Of each column of an answer, in its order, what it comes from; what it is made of comes first."""
    if isinstance(plan, OnlineState):
        return {o.name: _unique(_of(o, plan.facts, None)) for o in (*plan.latest, *plan.windows)}
    if isinstance(plan, LabelOf):
        return {o.name: _unique(_of(o, plan.part.facts, None)) for o in plan.part.outputs}
    found = {o.name: _unique(_answered(o, answer.part)) for answer in plan.answers for o in answer.part.outputs}
    for node in plan.on_demand:
        found |= {o.name: _unique(_on_demand(o, node, found)) for o in node.outputs}
    labels = [o.name for label in plan.labels for o in label.part.outputs]
    return {name: found[name] for name in (*plan.columns, *labels)}


def _answered(output: Output, part: Part) -> Iterator[Use]:
    facts = part if isinstance(part, StaticLookup) else part.facts
    yield from _of(output, facts, part.spine)


def _of(output: Output, facts: Visible | Settled | StaticLookup, spine: ReadSpine | None) -> Iterator[Use]:
    if isinstance(facts, StaticLookup):
        rows, keys, condition = facts.rows, facts.keys, facts.condition
        yield from _made_of(output, rows)
        yield from _who(rows, keys, spine)
    else:
        chain, versions, condition = chain_of(facts)
        rows, keys = chain.rows, chain.keys
        yield from _made_of(output, rows)
        yield from _who(rows, keys, spine)
        yield from _when(output, chain, spine, "settled" if isinstance(facts, Settled) else "known time")
        yield from _versions(rows, versions)
    conditions = [("where", condition), *(("quarantine", test) for _, test in rows.kept_if)]
    for why, test in conditions:
        if test is not None:
            yield from (_use(rows, column, "FILTER", why) for column in expressions.columns(test))


def _made_of(output: Output, rows: ReadSource) -> Iterator[Use]:
    what = output.expression
    if what is not None:
        bare = isinstance(what, expressions.Column)
        how = "AGGREGATION" if output.aggregate else "IDENTITY" if bare else "TRANSFORMATION"
        yield from (Use(rows.source.name, column, True, how, formula(output)) for column in expressions.columns(what))
    if output.where is not None:
        yield from (_use(rows, column, "CONDITIONAL", "condition") for column in expressions.columns(output.where))


def _who(rows: ReadSource, keys: tuple[PlanKey, ...], spine: ReadSpine | None) -> Iterator[Use]:
    for key in keys:
        yield _use(rows, key.source_column, "JOIN", "join key")
        if spine is not None:
            yield Use(None, key.spine_column, False, "JOIN", "join key")


def _when(output: Output, facts: Facts, spine: ReadSpine | None, known: str) -> Iterator[Use]:
    rows, source = facts.rows, facts.rows.source
    counted = "WINDOW" if output.aggregate else "SORT"
    if source.event_timestamp is not None:
        yield _use(rows, source.event_timestamp, counted, "event time")
    if source.created_timestamp is not None:
        yield _use(rows, source.created_timestamp, "FILTER", known)
    if spine is not None:
        yield Use(None, AS_OF, False, "WINDOW" if output.aggregate else "FILTER", "as of")
    if output.aggregate is None:
        yield from (_use(rows, column.name, "SORT", "ties") for column in facts.inputs)


def _versions(rows: ReadSource, versions: InForce | None) -> Iterator[Use]:
    if versions is None:
        return
    yield from (_use(rows, column, "GROUP_BY", "row key") for column in versions.row_key)
    if rows.source.deleted is not None:
        yield _use(rows, rows.source.deleted, "FILTER", "deleted")
    if rows.source.row_order is not None:
        yield _use(rows, rows.source.row_order, "SORT", "row order")
    yield from (_use(rows, column, "SORT", "version order") for column in versions.order)


def _use(rows: ReadSource, column: str, how: str, why: str) -> Use:
    return Use(rows.source.name, column, False, how, why)


def _on_demand(output: Output, node: OnDemand, known: Mapping[str, tuple[Use, ...]]) -> Iterator[Use]:
    """What its operands come from: what a feature is made of goes into the expression, what decides of it still decides."""
    assert output.expression is not None
    how = "IDENTITY" if isinstance(output.expression, expressions.Column) else "TRANSFORMATION"
    operands = {operand.name: operand for operand in node.operands}
    for name in expressions.columns(output.expression):
        operand = operands[name]
        if operand.origin != "feature":
            column = AS_OF if operand.origin == AS_OF else operand.column
            yield Use(None, column, True, how, formula(output))
            continue
        for use in known[operand.column]:
            passed = how if use.how == "IDENTITY" else use.how
            yield replace(use, how=passed, why=formula(output)) if use.direct else use


def _unique(uses: Iterator[Use]) -> tuple[Use, ...]:
    """Each once, what the value is made of first."""
    return tuple(sorted(dict.fromkeys(uses), key=lambda use: not use.direct))


__all__ = ["AS_OF", "WHYS", "Use", "lineage"]
