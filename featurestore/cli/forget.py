"""`featurestore forget`: take an entity out of the online store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.answer import Answer
from featurestore.cli.command import Run
from featurestore.cli.get import pairs, typed_key
from featurestore.errors import RequestError, UsageError

if TYPE_CHECKING:
    from featurestore.materialization.forget import Forgotten


def forget(
    run: Run,
    entity: Annotated[str, typer.Argument(metavar="ENTITY[=KEY]", help="Whom to forget; its key here, if it has one column.")],
    key: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=VALUE", help="A join key of an entity that has several.")
    ] = None,
) -> Answer:
    """Remove an entity from the online store and from push logs, and say which sources still hold rows of it.

    Kept generations lose its records too; half-written ones are dropped; push logs are folded into Parquet without its rows.
    The sources' own files are not changed: while they hold rows of the entity, a run that reads them brings it back.

    Example:
      featurestore forget customer=10038
    """
    from featurestore.registry import known

    name, equals, value = entity.partition("=")
    columns = known(run.store.registry.entities, name, "entity").join_keys
    if equals and (len(columns) != 1 or key):
        raise UsageError(
            "FS100", f"the key of entity {name!r} is {', '.join(columns)}, given once", hint=_example(name, columns)
        )
    if not equals and not key:
        raise RequestError("FS502", f"no key of entity {name!r} is given", known=columns, hint=_example(name, columns))
    families = run.store.key_families(name)
    given = pairs([f"{columns[0]}={value}"] if equals else key or [], "key", families)
    done = run.store.forget(name, {column: typed_key(column, text, families[column]) for column, text in given.items()})
    return Answer({**done.to_dict(), "warnings": run.warnings}, _text(done))


def _example(name: str, columns: tuple[str, ...]) -> str:
    return f"{name}=…" if len(columns) == 1 else " ".join([name, *(f"--key {column}=…" for column in columns)])


def _text(done: Forgotten) -> str:
    lines = [
        f"{r['view']}: {r['records']:,} {'record' if r['records'] == 1 else 'records'} removed from generation "
        f"{r['generation']}{' (kept)' if r['kept'] else ''}"
        for r in done.removed
    ]
    lines = lines or ["the online store held nothing of it"]
    lines += [
        f"{r['source']}: {r['rows']:,} {'row' if r['rows'] == 1 else 'rows'} removed from the push log" for r in done.logs
    ]
    if done.unreadable:
        lines.append(
            f"{done.unreadable:,} records have keys too long to be read back: materialize --full once its rows are gone"
        )
    if done.sources:
        lines.append("still in the sources, and back with the next run that reads them:")
        lines += [f"  {s['source']}: {s['file']}, {_count(s['rows'])}" for s in done.sources]
    else:
        lines.append("no source holds a row of it")
    return "\n".join(lines)


def _count(rows: int) -> str:
    return f"{rows:,} {'row' if rows == 1 else 'rows'}"
