"""`featurestore prove`: probes for leaks in a service's training set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, CheckFailed, json_text
from featurestore.cli.command import Run, typed_wrong
from featurestore.cli.explain import ServiceArgument
from featurestore.errors import FeatureStoreError

if TYPE_CHECKING:
    from featurestore.audit.proof import Moved, Probe, Proof

Option = typer.Option
ISSUES = "a report with this command line and the definition of the view: no definition can cause it"


def prove(
    run: Run,
    service: ServiceArgument,
    spine: Annotated[str, Option(metavar="FILE", help="The rows that ask: join keys, as_of (Parquet or CSV; or a URL).")],
    as_of_column: Annotated[str, Option(metavar="COLUMN", help="The spine's column of instants.")] = "as_of",
    as_of_format: Annotated[
        str | None, Option(metavar="F", help="Format of as_of in text, such as '%d.%m.%Y'; default ISO 8601.")
    ] = None,
    timezone: Annotated[str, Option(metavar="Z", help="The zone in which naive as_of are read.")] = "UTC",
    probes: Annotated[int, Option(metavar="N", help="How many instants are drawn for each key.")] = 1,
    seed: Annotated[int, Option(metavar="N", help="Which instants and rows: the same seed draws the same.")] = 0,
    memory_limit: Annotated[str | None, Option(metavar="SIZE", help="Memory the engine may use, such as 4GB.")] = None,
) -> Answer:
    """Prove that a training set holds nothing that its rows could not know.

    For instants drawn from the spine, source rows that count only later are deleted, changed, delayed and added to, and the
    sources are truncated; no cell of the rows asked by then may move by a bit. Rows, files, threads and memory are shuffled;
    then no byte may. The same is done to rows that are seen, where cells must move. Exit 1 if anything moved that may not, or
    if nothing could be probed. Your files are only read.

    Example:
      featurestore prove fraud_v1 --spine data/spine.parquet
    """
    from featurestore.intervals import zone

    try:
        zone(timezone)
    except FeatureStoreError as error:
        raise typed_wrong("--timezone", error) from error
    with run.progress() as watch:
        found = run.store.prove(
            service, spine, as_of=as_of_column, timezone=timezone, as_of_format=as_of_format, probes=probes, seed=seed,
            memory_limit=memory_limit, watch=watch,
        )  # fmt: skip
    if found.ok and found.unseen:
        run.warn(f"no control moved {', '.join(found.unseen)}: a leak into them might not be noticed with this spine")
    return Answer({**found.to_dict(), "warnings": run.warnings}, _text(found), _errors(found))


def _errors(found: Proof) -> list[FeatureStoreError]:
    if found.moved:
        guilty = [p for p in found.probes if p.outcome == "moved"]
        said = "; ".join(f"{', '.join(p.moved) or p.error} ({p.name})" for p in guilty[:3])
        what = f"{found.moved:,} cells moved: {said}" + ("; …" if len(guilty) > 3 else "")
        return [CheckFailed("FS136", what, hint=ISSUES)]
    if found.ok:
        return []
    why = "no source row counts after any instant of the spine" if not found.held else "no feature moves whatever is done"
    return [CheckFailed("FS137", f"nothing could be proven of {found.service}: {why}", hint="a spine within the sources' time")]


def _text(found: Proof) -> str:
    asked = "" if found.asked == found.rows else f", of which {found.asked:,} are probed"
    header = ("probe", "source rows touched", "compared", "moved", "control", "outcome")
    rows = [_row(probe) for probe in found.probes]
    lines = [
        f"{found.service}: {found.rows:,} rows{asked}; {len(found.features)} features with a history; seed {found.seed}",
        show.table(header, rows, indent="  "),
        "control: cells that move when rows that are seen are touched the same way",
    ]
    for probe in (p for p in found.probes if p.outcome == "moved"):
        lines += [f"\n{probe.name} (seed {found.seed}): {probe.error or probe.done}"]
        lines += [_moved(example) for example in probe.examples]
    lines += [f"\n{probe.name}: {probe.reason}" for probe in found.probes if probe.reason]
    return "\n".join(lines)


def _row(probe: Probe) -> tuple[Any, ...]:
    touched = ", ".join(f"{name} {n:,}" for name, n in probe.touched.items() if n) or "none"
    touched = "all" if probe.bytes and any(probe.touched.values()) else touched
    compared = "every byte" if probe.bytes else f"{probe.rows:,} × {len(probe.features)}"
    control = "" if probe.control is None else f"{sum(probe.control.moved.values()):,}"
    return probe.name, touched, compared, sum(probe.moved.values()), control, probe.outcome


def _moved(example: Moved) -> str:
    named = ", ".join(f"{name}={_shown(value)}" for name, value in example.keys.items())
    lines = [f"  {example.feature} in row {example.row} of the spine (from 0), {named or 'the one row'}, as of {example.as_of}"]
    return "\n".join([*lines, *(_side(side, getattr(example, side)) for side in ("before", "after"))])


def _side(name: str, cell: Any) -> str:
    event = f", event time {cell['event_timestamp']}" if cell["event_timestamp"] else ""
    return f"    {name:<7} {_shown(cell['value'])} ({cell['status']}{event})"


def _shown(value: Any) -> str:
    return show.cell(None) if value is None else json_text(value).strip('"') if isinstance(value, str) else json_text(value)
