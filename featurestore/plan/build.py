"""Turn bound views and services into plans. Meaning comes from the definitions; nothing here knows a dialect."""

from __future__ import annotations

from featurestore.definitions import ViewInstance
from featurestore.expressions import result_type
from featurestore.plan.leakage import prove
from featurestore.plan.nodes import (
    Facts,
    InForce,
    LabelOf,
    Latest,
    OnDemand,
    OnlineState,
    Output,
    Part,
    PartOf,
    PlanKey,
    ReadSource,
    ReadSpine,
    Settled,
    StaticLookup,
    TrainingSet,
    TypedColumn,
    Visible,
    Where,
    Window,
)
from featurestore.registry import BoundFacts, BoundInstance, BoundLabel, BoundOnDemand, BoundService, BoundView


def training_set(service: BoundService) -> TrainingSet:
    """The plan of a service's training sets, proven free of static leaks."""
    parts = tuple(
        PartOf(instance.name, instance.bound.name, instance.bound.fingerprint, part)
        for instance in service.instances
        for part in _parts(instance)
    )
    labels = tuple(_label(label, service.exact) for label in service.labels)
    on_demand = tuple(_on_demand(service, asked) for asked in service.on_demand)
    plan = TrainingSet(service.name, parts, service.service.feature_names, labels, on_demand)
    prove(plan)
    return plan


def _on_demand(service: BoundService, asked: BoundOnDemand) -> OnDemand:
    outputs = tuple(Output(out, dtype, expression) for out, expression, dtype in asked.features)
    return OnDemand(asked.instance.view.name, asked.name, asked.fingerprint, service.operands(asked), outputs)


def online_state(bound: BoundView) -> OnlineState:
    """The plan of what the online store keeps of a view."""
    keys = _keys(bound, tuple(key.name for key in bound.keys))
    outputs = tuple(_output(bound, f.name, f.name) for f in bound.view.features)
    latest = tuple(o for o in outputs if o.aggregate is None)
    windows = tuple(o for o in outputs if o.aggregate is not None)
    facts: Visible | StaticLookup
    if bound.view.source.static:
        facts = _static(bound, keys, latest)
    else:
        facts = _visible(bound, keys)
    plan = OnlineState(bound.name, bound.fingerprint, facts, latest, windows)
    prove(plan)
    return plan


def label(bound: BoundLabel) -> LabelOf:
    """The plan of a label view by itself, as a service none of whose views allows exact matches would ask for it."""
    return _label(BoundInstance(ViewInstance(view=bound.view), bound), exact=False)


def facts_read(bound: BoundFacts) -> Visible | StaticLookup:
    """The facts a view of either kind reads, for those who only count them."""
    keys = _keys(bound, tuple(key.name for key in bound.keys))
    return _static(bound, keys, ()) if bound.view.source.static else Visible(_chain(bound, keys), exact=False)


def _label(label: BoundInstance[BoundLabel], exact: bool) -> LabelOf:
    """A label's window as one that ends where it ends, asked there: [t + gap, t + gap + w) lies before t + gap + w."""
    bound, view = label.bound, label.bound.view
    keys = _keys(bound, label.instance.key_columns)
    outputs = tuple(_output(bound, out, feature.name) for out, feature, _ in label.features)
    window = Window(ReadSpine(keys, ahead=view.reach), Settled(_chain(bound, keys), exact), outputs)
    return LabelOf(label.name, bound.name, bound.fingerprint, window, view.horizon)


def _parts(instance: BoundInstance[BoundView]) -> list[Part]:
    bound = instance.bound
    keys = _keys(bound, instance.instance.key_columns)
    outputs = tuple(_output(bound, out, feature.name) for out, feature, _ in instance.computed)
    latest = tuple(o for o in outputs if o.aggregate is None)
    windows = tuple(o for o in outputs if o.aggregate is not None)
    if bound.view.source.static:
        return [_static(bound, keys, latest)]
    facts, spine = _visible(bound, keys), ReadSpine(keys)
    ttl = None if bound.view.ttl is None else bound.view.ttl.micros
    parts: list[Part] = []
    if latest:
        parts.append(Latest(spine, facts, ttl, latest))
    if windows:
        parts.append(Window(spine, facts, windows))
    return parts


def _keys(bound: BoundFacts, spine_columns: tuple[str, ...]) -> tuple[PlanKey, ...]:
    return tuple(
        PlanKey(key.name, key.column, column, key.dtype) for key, column in zip(bound.keys, spine_columns, strict=True)
    )


def _output(bound: BoundFacts, name: str, feature_name: str) -> Output:
    feature = bound.view.feature(feature_name)
    return Output(
        name=name,
        dtype=bound.feature_types[feature_name],
        expression=feature.expression,
        input_type=None if feature.expression is None else result_type(feature.expression, bound.types, what=name),
        aggregate=feature.aggregate,
        parameter=feature.parameter,
        window=None if feature.window is None else feature.window.micros,
        offset=feature.offset.micros,
        where=feature.where,
    )


def _typed(bound: BoundFacts, columns: tuple[str, ...]) -> tuple[TypedColumn, ...]:
    return tuple(TypedColumn(column, bound.types[column]) for column in columns)


def _rows(bound: BoundFacts) -> ReadSource:
    view = bound.view
    kept_if = tuple((e.reason, e.passes(bound.types)) for e in view.source.quarantine)
    only_tested = frozenset(view.columns) - frozenset(view.value_columns)
    return ReadSource(view.source, _typed(bound, view.columns), kept_if=kept_if, only_tested=only_tested)


def _visible(bound: BoundView, keys: tuple[PlanKey, ...]) -> Visible:
    view, kept = bound.view, _chain(bound, keys)
    return Visible(kept, view.allow_exact_matches)


def _chain(bound: BoundFacts, keys: tuple[PlanKey, ...]) -> Where | InForce | Facts:
    view = bound.view
    facts = Facts(_rows(bound), keys, _typed(bound, view.input_columns))
    source = view.source
    current = InForce(facts, source.row_key, _version_order(bound)) if source.row_key else facts
    return current if view.condition is None else Where(current, view.condition)


def _version_order(bound: BoundFacts) -> tuple[str, ...]:
    """The source columns the view reads, by name, which decide last between versions."""
    declared = set(bound.view.source.declared_columns)
    return tuple(sorted(c for c in bound.view.value_columns if c not in declared or c in bound.view.input_columns))


def _static(bound: BoundFacts, keys: tuple[PlanKey, ...], outputs: tuple[Output, ...]) -> StaticLookup:
    return StaticLookup(
        ReadSpine(keys), _rows(bound), keys, _typed(bound, bound.view.input_columns), bound.view.condition, outputs
    )
