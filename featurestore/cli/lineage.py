"""`featurestore lineage`: what a feature comes from, column by column, and what a column goes into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer
from featurestore.cli.command import Run
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from featurestore.plan.flow import Flow, Node

_SHOWN = 4
"""How many names of one kind a line lists."""
_WORDS = {"feature": "view", "label": "label view", "on_demand": "on-demand view", "served": "service"}


def lineage(
    run: Run,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="VIEW.FEATURE or FEATURE, SOURCE.COLUMN; a view, service or source.")
    ],
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="What it is, where several things have the name.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw it, too.")] = None,
) -> Answer:
    """Say which columns a feature comes from, and what goes where: source, view, on-demand view, service.

    Every column that can change the feature is named, and what it is to it: its value, a condition, a key, a time; or what
    decides between versions and between facts of one instant. A column that is not named may hold anything. Nothing is
    read but the definitions and the sources' types.

    Example:
      featurestore lineage card_payments.amount_sum_7d
    """
    from featurestore.plan.flow import KINDS

    if kind is not None and kind not in KINDS:
        raise UsageError("FS102", f"unknown kind {kind!r}", known=KINDS, hint="--kind source")
    whole = run.store.lineage()
    what, nodes = whole.find(name, kind)
    around = whole.around(nodes)
    if svg is not None:
        from featurestore.atomic import disk_errors, write_text
        from featurestore.pictures.flow import picture

        with disk_errors(svg):
            write_text(svg, picture(around.to_data(), title=f"Lineage of {name}", alone=True))
    asked = nodes if nodes and nodes[0].kind == "column" else ()
    upstream = {} if asked else {node: whole.columns_of(node) for node in nodes}
    downstream = {node: whole.reached_from(node) for node in nodes}
    result = {
        "name": name,
        "kind": what,
        "upstream": {str(node): [_column(c, roles) for c, roles in found.items()] for node, found in upstream.items()},
        "downstream": {str(node): [_reached(n, roles) for n, roles in found.items()] for node, found in downstream.items()},
        **around.to_data(),
        "svg": svg,
    }
    return Answer(result, show.tree(f"{what.replace('_', ' ')} {name}", _branches(what, upstream, downstream, whole)))


def _column(node: Node, roles: tuple[str, ...]) -> dict[str, Any]:
    return {"source": node.group or None, "column": node.name, "roles": roles}


def _reached(node: Node, roles: tuple[str, ...]) -> dict[str, Any]:
    return {"kind": node.kind, "name": str(node), "roles": roles}


Found = Mapping["Node", Mapping["Node", tuple[str, ...]]]


def _branches(kind: str, upstream: Found, downstream: Found, whole: Flow) -> dict[str, Any]:
    reached = dict.fromkeys(node for found in downstream.values() for node in found)
    if upstream:
        onward = _goes_into(node for node in reached if node not in upstream)
        return {"comes from": _comes_from(upstream)} | ({"goes into": onward} if onward else {})
    used = {node.name: _by_role(node, whole) for node, found in downstream.items() if found}
    unused = [node.name for node, found in downstream.items() if not found]
    branches: dict[str, Any] = used if kind == "source" else next(iter(used.values()), {})
    if unused:
        branches[f"read by no view: {_some(unused)}"] = {}
    if onward := _goes_into(node for node in reached if node.kind not in ("feature", "label")):
        branches["and with that into"] = onward
    return branches


def _comes_from(upstream: Found) -> dict[str, Any]:
    """By source and column: what the column is, and to which of the features if not to all."""
    columns: dict[Node, dict[str, list[str]]] = {}
    for asked, found in upstream.items():
        for column, roles in found.items():
            for role in roles:
                columns.setdefault(column, {}).setdefault(role, []).append(asked.name)
    groups: dict[str, dict[str, Any]] = {}
    widest = max((len(column.name) for column in columns), default=0)
    for column, by_role in columns.items():
        of = {role: by_role[role] for role in _in_order(by_role)}
        said = "; ".join(r if len(names) == len(upstream) else f"{r} of {_some(names)}" for r, names in of.items())
        group = f"source {column.group}" if column.group else "the row that asks"
        groups.setdefault(group, {})[f"{column.name.ljust(widest)}  {said}"] = {}
    return groups


def _by_role(column: Node, whole: Flow) -> dict[str, Any]:
    """What a column is to which features; a view where it is that to all of its features."""
    by_role: dict[str, dict[str, list[str]]] = {}
    for node, roles in whole.next_to(column).items():
        for role in roles:
            by_role.setdefault(role, {}).setdefault(node.group, []).append(node.name)
    return {f"{role}: {'; '.join(_of_view(*of, whole) for of in by_role[role].items())}": {} for role in _in_order(by_role)}


def _of_view(view: str, names: list[str], whole: Flow) -> str:
    every = {node.name for node in whole.nodes if node.group == view and node.kind in ("feature", "label")}
    return f"all of {view}" if every == set(names) and len(names) > 1 else f"{_some(names)} of {view}"


def _goes_into(nodes: Iterable[Node]) -> dict[str, Any]:
    groups: dict[str, list[str]] = {}
    for node in sorted(nodes, key=lambda node: list(_WORDS).index(node.kind)):
        groups.setdefault(f"{_WORDS[node.kind]} {node.group}", []).append(node.name)
    return {f"{group}: {_some(names)}": {} for group, names in groups.items()}


def _in_order(roles: Iterable[str]) -> list[str]:
    from featurestore.plan.columns import ROLES

    given = set(roles)
    return [role for role in ROLES if role in given]


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN:,} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
