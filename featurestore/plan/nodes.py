"""What a request means, in no dialect: a dozen frozen nodes.

    TrainingSet ── parts ──> Latest ── facts ──> Visible ──> Where? ──> InForce? ──> Facts ──> ReadSource
                             Window ── facts ──> Visible …
                             StaticLookup ──> ReadSource            (no history, hence no visibility; marked)
                             every part ── spine ──> ReadSpine
                ── labels ─> LabelOf ──> Window ── facts ──> Settled ──> Where? ──> InForce? ──> Facts ──> ReadSource
    TrainingSet ── on_demand ──> OnDemand        (reads columns of the parts and of the spine's own row; no source)
    OnlineState ── facts ──> Visible …

A source's rows reach a feature only through `Visible`, the one node that knows the boundary, and a label only through
`Settled`, which has none: `leakage.prove` checks that neither stands where the other belongs.
Instants are integer microseconds; how a dialect spells a node is the compiler's business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from featurestore.definitions import Source
from featurestore.definitions.aggregation import AGGREGATES, Parameter, read_as
from featurestore.dtypes import BOOL, DType
from featurestore.expressions import Expr
from featurestore.registry import Operand


@dataclass(frozen=True)
class TypedColumn:
    name: str
    dtype: DType


@dataclass(frozen=True)
class PlanKey:
    """A join key: its name in the plan, the source column, the spine or request column, and the source's type."""

    name: str
    source_column: str
    spine_column: str
    dtype: DType


@dataclass(frozen=True)
class Output:
    """One column of an answer: its name, type, and the expression or aggregate over facts that gives it."""

    name: str
    dtype: DType
    expression: Expr | None
    input_type: DType | None = None
    aggregate: str | None = None
    parameter: Parameter = None
    window: int | None = None
    offset: int = 0
    where: Expr | None = None


@dataclass(frozen=True)
class Measure:
    """What an aggregate takes of a fact: a value, NULL where its own condition does not hold; TRUE if it only counts."""

    expression: Expr | None
    where: Expr | None
    dtype: DType


@dataclass(frozen=True)
class ReadSource:
    """Rows of a source as stored: only the columns the view reads.

    pushed: rows may have been pushed; those are known from their arrival on, whatever the source declares. It is a fact of
    the data, not of the definition: `with_pushed` sets it. files_before: rows that were not pushed count if they are known
    before that instant (microseconds; None: all do). kept_if: (reason, condition): rows for which one is not TRUE are set
    aside, and are no rows to all that follows. only_tested: columns that are read for these conditions alone.
    """

    source: Source
    columns: tuple[TypedColumn, ...]
    pushed: bool = False
    files_before: int | None = None
    kept_if: tuple[tuple[str, Expr], ...] = ()
    only_tested: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReadSpine:
    """The rows that ask: a row number in spine order, join keys of the source's types, and the instant `at`.

    ahead: microseconds by which they ask later than their as_of; 0 for all but labels. at_once: all of them ask at one
    instant, a parameter of the run (`at`). That is a fact of the spine, not of the definition: `asked_at_once` sets it.
    """

    keys: tuple[PlanKey, ...]
    ahead: int = 0
    at_once: bool = False


@dataclass(frozen=True)
class Facts:
    """Rows with their event and known time; canonical values; rows that can never be a fact are gone.

    Without row key: NULL event or known time or key is no fact. With one, only a NULL known time or row key is.
    """

    rows: ReadSource
    keys: tuple[PlanKey, ...]
    inputs: tuple[TypedColumn, ...]


@dataclass(frozen=True)
class InForce:
    """Of the versions of one row key, when each is in force; deleted ones and those without time or key are no facts.

    order: the columns that decide between versions known at the same instant, by name.
    """

    facts: Facts
    row_key: tuple[str, ...]
    order: tuple[str, ...]


@dataclass(frozen=True)
class Where:
    """Facts for which the view's condition is TRUE, judged on the version in force."""

    facts: Facts | InForce
    condition: Expr


@dataclass(frozen=True)
class Visible:
    """The boundary: facts known before the cut-off and visible strictly before `at` (or at it, if exact).

    Holds two parameters of a run: `known_before` (facts with k < it) and `known_shift` (added to k: the serving lag).
    """

    facts: Where | InForce | Facts
    exact: bool


@dataclass(frozen=True)
class Settled:
    """Facts in force at the cut-off, each as if it had been known when it happened: what labels are made of.

    Holds one parameter of a run, `known_before`; a serving lag says what a model could see, so it has no part in labels.
    exact: the window asked of them is open at its beginning and closed at its end.
    """

    facts: Where | InForce | Facts
    exact: bool


@dataclass(frozen=True)
class Latest:
    """Per spine row the newest visible fact no older than ttl; ties by known time, then the inputs in order."""

    spine: ReadSpine
    facts: Visible
    ttl: int | None
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class Window:
    """Per spine row aggregates of the visible (or settled) facts whose event time lies in each output's window."""

    spine: ReadSpine
    facts: Visible | Settled
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class StaticLookup:
    """Per spine row the one row of a source without history, the same for every instant."""

    spine: ReadSpine
    rows: ReadSource
    keys: tuple[PlanKey, ...]
    inputs: tuple[TypedColumn, ...]
    condition: Expr | None
    outputs: tuple[Output, ...]


Part = Latest | Window | StaticLookup


@dataclass(frozen=True)
class PartOf:
    """A part of a training set and the view instance it answers for."""

    instance: str
    view: str
    fingerprint: str
    part: Part


@dataclass(frozen=True)
class LabelOf:
    """The label of a label view's instance: `part` asks at the end of its window, `horizon` says when it is mature: where
    as_of + horizon is no later than the cut-off and the greatest known time of the source."""

    instance: str
    view: str
    fingerprint: str
    part: Window
    horizon: int


@dataclass(frozen=True)
class OnDemand:
    """Per spine row scalar expressions over what the row has: features of the parts, request columns, its instant."""

    view: str
    name: str
    fingerprint: str
    operands: tuple[Operand, ...]
    outputs: tuple[Output, ...]

    @property
    def types(self) -> dict[str, DType]:
        """The type of each name the expressions read."""
        return {o.name: o.dtype for o in self.operands}


@dataclass(frozen=True)
class TrainingSet:
    """The spine's rows and columns, in order, then `columns` in service order, each from one part or made on demand, then
    the labels."""

    service: str
    parts: tuple[PartOf, ...]
    columns: tuple[str, ...]
    labels: tuple[LabelOf, ...] = ()
    on_demand: tuple[OnDemand, ...] = ()

    @property
    def answers(self) -> tuple[PartOf | LabelOf, ...]:
        """All that is computed, the labels last."""
        return *self.parts, *self.labels


@dataclass(frozen=True)
class OnlineState:
    """Per key the facts that any instant from the watermark on may need: the newest before it, those pending, and
    (reach) those in windows; reach None with lifetime windows: all of them."""

    view: str
    fingerprint: str
    facts: Visible | StaticLookup
    latest: tuple[Output, ...]
    windows: tuple[Output, ...]


Node = (
    TrainingSet | PartOf | LabelOf | OnDemand | OnlineState | Latest | Window | StaticLookup | Visible | Settled | Where
    | InForce | Facts | ReadSource | ReadSpine
)  # fmt: skip


N = TypeVar("N")
C = TypeVar("C", ReadSource, ReadSpine)


def children(node: object) -> Iterator[object]:
    """The nodes directly below a node, in field order."""
    for spec in fields(node):  # type: ignore[arg-type]
        value = getattr(node, spec.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Node):
                yield item


def with_pushed(node: N, sources: Collection[str], files_before: int | None = None) -> N:
    """The same plan, in which the rows of some sources may have been pushed, and of their other rows those known before an
    instant count."""

    def change(read: ReadSource) -> ReadSource:
        pushed = read.source.name in sources
        return replace(read, pushed=pushed, files_before=files_before if pushed else None)

    return _changed(node, ReadSource, change)


def asked_at_once(node: N) -> N:
    """The same plan for a spine whose rows all ask at one instant."""
    return _changed(node, ReadSpine, lambda spine: replace(spine, at_once=True))


def _changed(node: N, kind: type[C], change: Callable[[C], C]) -> N:
    """The same plan with every node of a kind, which has none below it, changed."""
    if isinstance(node, kind):
        return change(node)  # type: ignore[return-value]

    def changed(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(changed, value))
        return _changed(value, kind, change) if isinstance(value, Node) else value

    values = {spec.name: changed(getattr(node, spec.name)) for spec in fields(node)}  # type: ignore[arg-type]
    return replace(node, **values)  # type: ignore[type-var]


def walk(node: object) -> Iterator[object]:
    """The node and all below it, parents first."""
    yield node
    for child in children(node):
        yield from walk(child)


def facts_of(boundary: Visible | Settled) -> tuple[Facts, InForce | None, Expr | None]:
    """The chain below a boundary as far as it is still open: the facts, their versioning if any, the condition if any.

    What is settled is in force once and for all: no versions are left.
    """
    facts, versions, condition = chain_of(boundary)
    return facts, None if isinstance(boundary, Settled) else versions, condition


def chain_of(boundary: Visible | Settled) -> tuple[Facts, InForce | None, Expr | None]:
    """The chain below a boundary: the facts, their versioning if any, and the condition if any."""
    node: object = boundary.facts
    condition = None
    if isinstance(node, Where):
        condition, node = node.condition, node.facts
    versions = node if isinstance(node, InForce) else None
    facts = versions.facts if versions is not None else node
    assert isinstance(facts, Facts)
    return facts, versions, condition


def reach_of(windows: tuple[Output, ...]) -> int | None:
    """How far before t the farthest window begins, in microseconds; None: without bound."""
    reaches = [None if o.window is None else o.window + o.offset for o in windows]
    return None if None in reaches else max((r for r in reaches if r is not None), default=0)


def measure_of(output: Output) -> Measure:
    """The measure an aggregate reads, in the type in which it reads it."""
    if output.expression is None:
        return Measure(None, output.where, BOOL)
    assert output.input_type is not None
    return Measure(output.expression, output.where, read_as(output.input_type))


def measures(outputs: tuple[Output, ...]) -> tuple[Measure, ...]:
    """The distinct measures of some aggregates, in order of first use."""
    return tuple(dict.fromkeys(measure_of(o) for o in outputs))


def ordered_by_time(outputs: tuple[Output, ...]) -> bool:
    """Whether some aggregate asks which of the facts of one event time became known first."""
    return any(AGGREGATES[o.aggregate].by_time for o in outputs if o.aggregate is not None)
