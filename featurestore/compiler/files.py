"""What `compile` writes: the text of every file below sql/, from a registry bound to types.

Byte-stable: the same definitions and types give the same bytes, whatever the machine or library versions.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from featurestore import plan as planning
from featurestore.compiler import duckdb, spark
from featurestore.errors import DefinitionError
from featurestore.intervals import Duration
from featurestore.plan.nodes import LabelOf, Part, PartOf, ReadSource, TrainingSet, Window, walk
from featurestore.registry import BoundRegistry, BoundService, BoundView

DIALECTS = ("duckdb", "spark")


def compiled(bound: BoundRegistry, dialect: str | None = None) -> dict[str, str]:
    """Path below sql/ -> text, for all services and views.

    dialect: only its files, and those that belong to none. Without it those of every dialect: where one refuses a definition,
    its file says why. Raises: DefinitionError FS240 for what the dialect asked for refuses.
    """
    files = {"manifest.json": json.dumps(bound.to_manifest(), indent=2, ensure_ascii=False) + "\n"}
    for service in bound.services.values():
        plan = planning.training_set(service)
        files[f"plan/{service.name}.txt"] = planning.explain(plan)
        for one in _asked(dialect):
            write = partial(training_set_sql, service, plan, dialect=one)
            files[f"{one}/training_set/{service.name}.sql"] = write() if dialect else _or_why(write)
    for view in bound.views.values():
        for one in _asked(dialect):
            write = partial(latest_sql, view, one)
            files[f"{one}/latest/{view.name}.sql"] = write() if dialect else _or_why(write)
    return dict(sorted(files.items()))


def _asked(dialect: str | None) -> Sequence[str]:
    return DIALECTS if dialect is None else (dialect,)


def _or_why(write: Callable[[], str]) -> str:
    try:
        return write()
    except DefinitionError as error:
        return f"-- {error}\n"


def training_set_sql(
    service: BoundService,
    plan: TrainingSet | None = None,
    chosen: Mapping[str, Sequence[AnyStatement]] | None = None,
    dialect: str = "duckdb",
) -> str:
    """The statements of a service's training set, in the order in which they run.

    chosen: {view instance: the statements that serve its windows}; without it every one that may.
    """
    plan = plan or planning.training_set(service)
    head = f"-- Training set of feature service {service.name}: one statement per view instance and kind of feature"
    head += ".\n" if chosen is not None or dialect == "spark" else "; of\n-- windows every plan that a build may choose.\n"
    head += f"-- Fingerprint {service.fingerprint}. {_HEADS[dialect]}"
    blocks = []
    for part in plan.answers:
        relations = sorted({f"source__{n.source.name}" for n in walk(part.part) if isinstance(n, ReadSource)})
        keys = ", ".join(k.spine_column for k in part.part.spine.keys) or "no key"
        note = f"-- reads spine (row_id, asked_at, {keys}), {', '.join(relations)}\n"
        known = None if chosen is None or not isinstance(part.part, Window) else chosen.get(part.instance)
        for statement in _STATEMENTS[dialect](part.part) if known is None else known:
            title = f"-- {part.instance}: {_what(part)} {part.view}"
            if statement.plan:
                title += f", plan {statement.plan}: {', '.join(o.name for o in statement.outputs)}"
            blocks.append(f"{title}\n{note}{statement.sql};\n")
    for node in plan.on_demand:
        title = f"-- {node.name}: OnDemand of on-demand view {node.view}\n"
        operands = ", ".join(planning.read_from(o) for o in node.operands)
        note = f"-- reads asked (row_id, {operands}), batch by batch{_WHERE[dialect]}\n"
        blocks.append(f"{title}{note}{duckdb.on_demand(node)};\n")
    return head + "\n" + "\n".join(blocks)


AnyStatement = duckdb.PartStatement | spark.PartStatement
_STATEMENTS: Mapping[str, Callable[[Part], Sequence[AnyStatement]]] = {"duckdb": duckdb.statements, "spark": spark.statements}
_PARAMETERS = """-- {0}known_before: facts known before it only. {0}known_shift: microseconds by which facts are known later.
"""
_HEADS = {
    "duckdb": "Each returns one row per spine row, ordered by __row.\n"
    + _PARAMETERS.format("$")
    + "-- $scale_i, $unscale_i: 2^k and 2^-k; the doubles of measure i times 2^k are whole. $first_instant,\n"
    "-- $last_instant: between them lie all facts. $per_tile, $most_tiles: facts of a tile, and tiles of a key at most.\n"
    "-- Plan snapshot: where all rows of a spine ask at one instant, which is $at.\n",
    "spark": "Each returns one row per spine row, in any order.\n" + _PARAMETERS.format(":"),
}
_WHERE = {"duckdb": "", "spark": ", on executors, by DuckDB"}
"""On-demand features see one row at a time: one engine computes them for all."""


def _what(part: PartOf | LabelOf) -> str:
    if isinstance(part, PartOf):
        return f"{type(part.part).__name__} of view"
    return f"asked {Duration(part.part.spine.ahead)} after as_of, at the end of the window of label view"


def latest_sql(view: BoundView, dialect: str = "duckdb") -> str:
    """The statement that gives a view's online state at a watermark."""
    sign = {"duckdb": "$", "spark": ":"}[dialect]
    head = f"-- Online state of feature view {view.name} at the watermark {sign}known_before, pending facts up to "
    head += f"{sign}horizon beyond.\n"
    head += (
        f"-- Fingerprint {view.fingerprint}. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.\n\n"
    )
    plan = planning.online_state(view)
    return head + (duckdb.online_state(plan, limited=False) if dialect == "duckdb" else spark.online_state(plan)) + ";\n"


def difference(folder: Path, files: Mapping[str, str], dialect: str | None = None) -> str:
    """A unified diff from what lies in sql/ to what should; "" when they are the same. Foreign files are left alone, and with
    `dialect` those of others."""
    lines: list[str] = []
    for name in sorted({*files, *_generated(folder, dialect)}):
        path = folder / name
        old = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        new = files.get(name, "").splitlines(keepends=True)
        lines += difflib.unified_diff(old, new, f"sql/{name}", f"compiled/{name}")
    return "".join(lines)


def obsolete(folder: Path, files: Mapping[str, str], dialect: str | None = None) -> list[str]:
    """Generated files in sql/, of a dialect or of all, that no definition asks for any more."""
    return [name for name in _generated(folder, dialect) if name not in files]


def _generated(folder: Path, dialect: str | None) -> list[str]:
    of_dialects = [f"{one}/{kind}/*.sql" for one in _asked(dialect) for kind in ("training_set", "latest")]
    patterns = ("plan/*.txt", *of_dialects, "manifest.json")
    return sorted(p.relative_to(folder).as_posix() for pattern in patterns for p in folder.glob(pattern))
