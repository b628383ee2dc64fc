"""`featurestore influence`: which source rows moved a feature's values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, json_text
from featurestore.cli.command import Run
from featurestore.cli.explain import ServiceArgument
from featurestore.cli.get import brought, pairs, typed_key
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from featurestore.audit.influences import Asked, Influence, Influences, SourceRow

Option = typer.Option
_SHORT = 80
"""How much of a row's values a line shows."""


def influence(
    run: Run,
    service: ServiceArgument,
    feature: Annotated[str, Option(metavar="F", help="A feature of the service, also one on demand.")],
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="One entity: what the feature is looked up by.")
    ] = None,
    spine: Annotated[str | None, Option(metavar="FILE", help="Or many rows that ask: join keys, as_of.")] = None,
    as_of: Annotated[str | None, Option(metavar="TS", help="The instant for KEY=VALUE. Default: now.")] = None,
    request: Annotated[
        list[str] | None, Option(metavar="NAME=VALUE", help="What an on-demand feature takes from the request.")
    ] = None,
    as_of_column: Annotated[str, Option(metavar="COLUMN", help="The spine's column of instants.")] = "as_of",
    top: Annotated[int, Option(metavar="N", help="How many source rows are told.")] = 20,
    reach: Annotated[int, Option(metavar="N", help="How many source rows of one value are left out: the newest.")] = 10_000,
) -> Answer:
    """Say which source rows moved a feature's value: poison, a broken feed, one row too many.

    Each source row that the value looks at is left out once, and the feature computed without it. Told are the rows that move
    it farthest, with file and number (from 0): by the distance of numbers; a value that becomes NULL, or is no longer, moves
    farthest; others move or do not. Rows that are versions of a fact are left out one by one too: the version before stands
    again. Your files are only read.

    Example:
      featurestore influence fraud_v1 --feature amount_sum_30d customer_id=10038 --as-of 2026-01-01T00:00:00Z
    """
    from featurestore.audit.influence import only

    if (spine is None) == (not keys):
        raise UsageError("FS102", "give either --spine or the keys of one entity", hint="--spine FILE, or KEY=VALUE…")
    if spine is not None and (as_of is not None or request):
        raise UsageError(
            "FS102", "--as-of and --request go with KEY=VALUE: a spine has columns of its own", hint="--spine FILE"
        )
    whole = run.store.bound_service(service)
    asked = only(whole, feature)
    needed = {name: key.family for name, key in asked.key_columns.items()}
    mine = [text for text in keys or () if text.partition("=")[0] not in whole.key_columns.keys() - needed.keys()]
    named = None
    if keys:
        named = {name: typed_key(name, text, needed[name]) for name, text in pairs(mine, "key", needed).items()}
    given = pairs(request or (), "request column", asked.request) if keys else {}
    with run.progress() as watch:
        found = run.store.influence(
            service, feature, spine, keys=named, request={n: brought(n, text, asked.request[n]) for n, text in given.items()},
            as_of=as_of, as_of_column=as_of_column, top=top, reach=reach, watch=watch,
        )  # fmt: skip
    if len(found.rows) < found.spine_rows:
        run.warn(f"{len(found.rows):,} of the spine's {found.spine_rows:,} rows were asked, evenly spread")
    if found.cut:
        run.warn(f"of {found.cut:,} values more than {reach:,} source rows are in reach: only the newest were left out")
    return Answer({**found.to_dict(), "warnings": run.warnings}, _text(found, one=bool(keys)))


def _text(found: Influences, *, one: bool) -> str:
    if one:
        return _asked(found.feature, found.rows[0])
    rows = [(_place(o.row), o.moved, _number(o.sum), o.nulls, *_about(o.row)) for o in found.overall]
    header = ("source row", "values moved", "in sum by", "to or from NULL", "event time", "known time", "holds")
    moved = sum(any(r.moves for r in asked.rows) for asked in found.rows)
    lines = [f"{found.feature}: {len(found.rows):,} values, of which single source rows move {moved:,}"]
    return "\n".join([*lines, show.table(header, rows, indent="  ") if rows else "  no source row moves any of them"])


def _asked(feature: str, asked: Asked) -> str:
    named = ", ".join(f"{name}={_shown(value)}" for name, value in asked.keys.items())
    which = f"{feature} of {named or 'the one row'} as of {asked.as_of}"
    lines = [f"{which} is {_shown(asked.value)}; source rows in reach: {asked.reach:,}"]
    rows = [(_place(i.row), _moves(i), _shown(i.without), *_about(i.row)) for i in asked.rows]
    header = ("source row", "moves it by", "without it", "event time", "known time", "holds")
    return "\n".join([*lines, show.table(header, rows, indent="  ")] if rows else lines)


def _place(row: SourceRow) -> str:
    return f"{row.file} {row.row}"


def _about(row: SourceRow) -> tuple[str, str, str]:
    return row.event_time or "", row.known_time or "", _values(row)


def _moves(found: Influence) -> str:
    return "to or from NULL" if found.null else _number(found.moves)


def _number(moves: float) -> str:
    return "no number" if math.isinf(moves) else f"{moves:,.10g}"


def _values(row: SourceRow) -> str:
    text = ", ".join(f"{name}={_shown(value)}" for name, value in row.values.items())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _shown(value: Any) -> str:
    return show.cell(None) if value is None else json_text(value).strip('"') if isinstance(value, str) else json_text(value)
