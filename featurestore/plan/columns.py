"""Which columns each feature comes from and what each is to it, as data: for manifests, pages and other programs.

Complete and tight. A column that is not named here may hold anything, and no byte of the feature changes; one that is named
can change it. So ties and the choice between versions are named: they are settled by all the columns that their view reads.
What is read is decided by `plan.lineage`, off the plan that is executed; this module says it by roles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from featurestore.plan.build import label, online_state, training_set
from featurestore.plan.lineage import Use, lineage
from featurestore.plan.nodes import TrainingSet
from featurestore.registry import BoundFacts, BoundLabel, BoundService, BoundView

ROLES: Mapping[str, str] = {
    "value": "the value is made of it",
    "request": "what the request brings, of which the value is made",
    "condition": "says which facts an aggregate counts",
    "where": "the view's condition",
    "quarantine": "sets rows aside that break an expectation",
    "key": "finds the facts of an entity",
    "time": "when a fact happened",
    "known": "when a row became known",
    "row_key": "says which rows are versions of one fact",
    "deleted": "says that a fact is gone",
    "row_order": "says which of two versions is the newer",
    "version": "decides between versions that are equal in all else",
    "tie": "decides between facts of one instant",
    "as_of": "the instant asked for",
}
"""What a column can be to a feature, in words; in the order in which roles are told."""
_ORDER = {role: number for number, role in enumerate(ROLES)}


class Column(NamedTuple):
    """A column and one thing it is to a feature. source: whose it is; None: the row's that asks. role: one of ROLES."""

    source: str | None
    column: str
    role: str


Lineage = Mapping[str, frozenset[Column]]
"""Feature -> all that can change it."""


def column_lineage(service: BoundService) -> Lineage:
    """What each column of a service's training set comes from: the features in service order, then the labels."""
    return of_plan(training_set(service))


def of_plan(plan: TrainingSet) -> Lineage:
    """As `column_lineage`, of the plan by which a set is made."""
    return _by_roles(lineage(plan))


def view_lineage(view: BoundFacts) -> Lineage:
    """What each feature of a view, or the label of a label view, comes from: columns of its source."""
    assert isinstance(view, BoundView | BoundLabel)
    return _by_roles(lineage(label(view) if isinstance(view, BoundLabel) else online_state(view)))


def _by_roles(found: Mapping[str, Iterable[Use]]) -> Lineage:
    return {name: frozenset(Column(use.source, use.column, use.role) for use in uses) for name, uses in found.items()}


def to_data(columns: Lineage) -> dict[str, list[dict[str, Any]]]:
    """{feature: [{"source", "column", "roles"}, …]}: each column once; what the value is made of comes first."""
    return {
        name: [{"source": source, "column": column, "roles": roles} for (source, column), roles in by_column(found).items()]
        for name, found in columns.items()
    }


def by_column(found: Iterable[Column]) -> dict[tuple[str | None, str], list[str]]:
    """The roles of each column, both in the order of ROLES."""
    roles: dict[tuple[str | None, str], list[str]] = {}
    for source, column, role in sorted(found, key=lambda c: (_ORDER[c.role], c.source or "", c.column)):
        roles.setdefault((source, column), []).append(role)
    return roles


def in_order(roles: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(roles, key=_ORDER.__getitem__))


__all__ = ["ROLES", "Column", "Lineage", "by_column", "column_lineage", "in_order", "of_plan", "to_data", "view_lineage"]
