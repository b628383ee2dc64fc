"""`featurestore audit`: is a training set, ours or anyone's, what could have been known?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, CheckFailed, json_text, plain
from featurestore.cli.build import check_options
from featurestore.cli.command import Run
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from featurestore.audit.findings import Audit, Example

Option = typer.Option
_SHOWN = 3
"""How many examples of each cause the text shows; `--json` has more."""


def audit(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The training set: Parquet or CSV.")],
    service: Annotated[str, Option(metavar="S", help="The feature service it was made for.")],
    as_of_column: Annotated[str, Option(metavar="COLUMN", help="Its column of instants.")] = "as_of",
    as_of_format: Annotated[
        str | None, Option(metavar="F", help="Format of as_of in text, such as '%d.%m.%Y'; default ISO 8601.")
    ] = None,
    timezone: Annotated[str, Option(metavar="Z", help="The zone in which naive instants are read.")] = "UTC",
    spine: Annotated[
        str | None, Option(metavar="FILE", help="The rows that were asked for: finds rows too many and too few.")
    ] = None,
    map: Annotated[
        list[str] | None, Option("--map", metavar="OLD=NEW", help="A column of FILE under the service's name; repeat it.")
    ] = None,
    known_before: Annotated[
        str | None, Option(metavar="TS", help="The cut-off it was built with. Default: as its manifest says.")
    ] = None,
    serving_lag: Annotated[
        str | None, Option(metavar="DURATION", help="The lag it was built with. Default: as its manifest says.")
    ] = None,
    label: Annotated[
        str | None, Option(metavar="COLUMN", help="Find features that tell more of this label than honest values do.")
    ] = None,
    split: Annotated[
        str | None, Option(metavar="COLUMN", help="The column that says train or test. Default: split, if there is one.")
    ] = None,
    tolerance: Annotated[
        float, Option(metavar="SHARE", help="Relative difference allowed to sums of doubles in files of others.")
    ] = 1e-9,
    output: Annotated[Path | None, Option(metavar="FILE", help="Write a report with pictures there: .html.")] = None,
) -> Answer:
    """Judge a training set: compute every cell anew at its row's as_of, and name the cause of each that differs.

    Exit code 0 only if every cell is exact. Leaks are values that existed only after as_of (future), or were not known yet
    (late_known). Any file with the service's keys and an instant can be judged: a CSV from pandas, the output of another tool.

    Example:
      featurestore audit train.parquet --service fraud_v1 --spine data/spine.parquet --output audit.html
    """
    check_options(timezone, serving_lag or "0s")
    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise UsageError("FS106", f"--output {output.name!r} is no .html file", hint="audit.html")
    with run.progress() as watch:
        found = run.store.audit(
            file, service, as_of=as_of_column, as_of_format=as_of_format, timezone=timezone, spine=spine, renamed=_renamed(map),
            known_before=known_before, serving_lag=serving_lag, label=label, split=split, tolerance=tolerance, watch=watch,
        )  # fmt: skip
    for warning in found.warnings:
        run.warn(warning)
    if output is not None:
        from featurestore.atomic import write_text
        from featurestore.audit.html import page

        write_text(output, page(found))
    told = {**found.to_dict(), "report": None if output is None else str(output)}
    return Answer(plain(told), text(found, output), [] if found.ok else [failed(found)])


def _renamed(given: list[str] | None) -> dict[str, str]:
    renamed = {}
    for pair in given or ():
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise UsageError("FS102", f"--map {pair!r} is not OLD=NEW", hint="--map card_payments__count_1h=count_1h")
        renamed[old] = new
    return renamed


def failed(found: Audit) -> CheckFailed:
    what = f"{found.leaks:,} of its cells are leaks" if found.leaks else "it is not what the service gives"
    if found.exact:
        what = next(s.what for s in found.suspicions if s.severity == "leak")
    causes = ", ".join(f"{cause} {cells:,}" for cause, cells in found.causes().items() if cause != "exact")
    return CheckFailed("FS150", what + (f": {causes}" if causes else ""), where=found.file)


def text(found: Audit, output: Path | None) -> str:
    causes = list(found.causes())
    lines = [f"{found.file}: {found.rows:,} rows of {found.service}; cells:"]
    lines.append(show.table(
        ["feature", *causes], [[name, *(f.causes.get(c, 0) for c in causes)] for name, f in found.features.items()], indent="  "
    ))  # fmt: skip
    for name, feature in found.features.items():
        told = [f"{cells:,} {why}" for why, cells in list(feature.why.items())[:_SHOWN]]
        lines += [f"  {name}: the value {'; '.join(told)}"] if told else []
    for cause in causes:
        lines += [_example(e) for e in [e for e in found.examples if e.cause == cause][:_SHOWN]]
    lines += [f"{'leak' if s.severity == 'leak' else 'suspicious'}: {s.what}" for s in found.suspicions]
    rounded = sum(f.rounded for f in found.features.values())
    lines += [f"{rounded:,} exact cells differ from the truth in their last digits alone"] if rounded else []
    lines += [f"not audited: {', '.join(found.not_audited)}"] if found.not_audited else []
    lines.append(f"leaks: {found.leaks:,}")
    lines += [f"report: {output}"] if output is not None else []
    return "\n".join(lines)


def _example(e: Example) -> str:
    asked = f"{e.feature} of {e.named} at {e.as_of} (row {e.row})"
    line = f"  {e.cause}: {asked} is {_shown(e.found)}, not {_shown(e.expected)}"
    if e.source is None:
        return line
    ahead = "" if e.ahead_us is None else f", {show.age(e.ahead_us)} after as_of" if e.ahead_us else ", at as_of itself"
    place = "" if e.source["file"] is None else f"{e.source['file']} row {e.source['row']}, "
    return f"{line}\n    from {place}event {e.source['event_timestamp']}, known {e.source['known_at']}{ahead}"


def _shown(value: object) -> str:
    return show.cell(None) if value is None else json_text(str(value) if hasattr(value, "isoformat") else value).strip('"')
