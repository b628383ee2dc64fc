"""What `compile` writes: the text of every file below sql/, from a registry bound to types.

Byte-stable: the same definitions and types give the same bytes, whatever the machine or library versions.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from featurestore import plan as planning
from featurestore.compiler import duckdb
from featurestore.intervals import Duration
from featurestore.plan.nodes import LabelOf, PartOf, ReadSource, TrainingSet, Window, walk
from featurestore.registry import BoundRegistry, BoundService, BoundView

DIALECTS = ("duckdb",)


def compiled(bound: BoundRegistry) -> dict[str, str]:
    """Path below sql/ -> text, for all services and views."""
    files = {"manifest.json": json.dumps(bound.to_manifest(), indent=2, ensure_ascii=False) + "\n"}
    for service in bound.services.values():
        plan = planning.training_set(service)
        files[f"plan/{service.name}.txt"] = planning.explain(plan)
        files[f"duckdb/training_set/{service.name}.sql"] = training_set_sql(service, plan)
    for view in bound.views.values():
        files[f"duckdb/latest/{view.name}.sql"] = latest_sql(view)
    return dict(sorted(files.items()))


def training_set_sql(
    service: BoundService,
    plan: TrainingSet | None = None,
    chosen: Mapping[str, Sequence[duckdb.PartStatement]] | None = None,
) -> str:
    """The statements of a service's training set, in the order in which they run.

    chosen: {view instance: the statements that serve its windows}; without it every one that may.
    """
    plan = plan or planning.training_set(service)
    head = f"-- Training set of feature service {service.name}: one statement per view instance and kind of feature"
    head += ".\n" if chosen is not None else "; of\n-- windows every plan that a build may choose.\n"
    head += f"-- Fingerprint {service.fingerprint}. Each returns one row per spine row, ordered by __row.\n"
    head += "-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.\n"
    head += "-- $scale_i, $unscale_i: 2^k and 2^-k; the doubles of measure i times 2^k are whole. $first_instant,\n"
    head += (
        "-- $last_instant: between them lie all facts. $per_tile, $most_tiles: facts of a tile, and tiles of a key at most.\n"
        "-- Plan snapshot: where all rows of a spine ask at one instant, which is $at.\n"
    )
    blocks = []
    for part in plan.answers:
        relations = sorted({f"source__{n.source.name}" for n in walk(part.part) if isinstance(n, ReadSource)})
        keys = ", ".join(k.spine_column for k in part.part.spine.keys) or "no key"
        note = f"-- reads spine (row_id, asked_at, {keys}), {', '.join(relations)}\n"
        known = None if chosen is None or not isinstance(part.part, Window) else chosen.get(part.instance)
        for statement in duckdb.statements(part.part) if known is None else known:
            title = f"-- {part.instance}: {_what(part)} {part.view}"
            if statement.plan:
                title += f", plan {statement.plan}: {', '.join(o.name for o in statement.outputs)}"
            blocks.append(f"{title}\n{note}{statement.sql};\n")
    for node in plan.on_demand:
        title = f"-- {node.name}: OnDemand of on-demand view {node.view}\n"
        note = f"-- reads asked (row_id, {', '.join(planning.read_from(o) for o in node.operands)}), batch by batch\n"
        blocks.append(f"{title}{note}{duckdb.on_demand(node)};\n")
    return head + "\n" + "\n".join(blocks)


def _what(part: PartOf | LabelOf) -> str:
    if isinstance(part, PartOf):
        return f"{type(part.part).__name__} of view"
    return f"asked {Duration(part.part.spine.ahead)} after as_of, at the end of the window of label view"


def latest_sql(view: BoundView) -> str:
    """The statement that gives a view's online state at a watermark."""
    head = f"-- Online state of feature view {view.name} at the watermark $known_before, pending facts up to $horizon beyond.\n"
    head += (
        f"-- Fingerprint {view.fingerprint}. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.\n\n"
    )
    return head + duckdb.online_state(planning.online_state(view), limited=False) + ";\n"


def difference(folder: Path, files: Mapping[str, str]) -> str:
    """A unified diff from what lies in sql/ to what should; "" when they are the same. Foreign files are left alone."""
    lines: list[str] = []
    for name in sorted({*files, *_generated(folder)}):
        path = folder / name
        old = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        new = files.get(name, "").splitlines(keepends=True)
        lines += difflib.unified_diff(old, new, f"sql/{name}", f"compiled/{name}")
    return "".join(lines)


def obsolete(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Generated files in sql/ that no definition asks for any more."""
    return [name for name in _generated(folder) if name not in files]


def _generated(folder: Path) -> list[str]:
    patterns = ("plan/*.txt", "duckdb/training_set/*.sql", "duckdb/latest/*.sql", "manifest.json")
    return sorted(p.relative_to(folder).as_posix() for pattern in patterns for p in folder.glob(pattern))
