"""`featurestore monitor`: look at freshness, volume, drift and skew again and again, and tell of what alerts."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, CheckFailed
from featurestore.cli.command import Run, typed_wrong
from featurestore.errors import FeatureStoreError, UsageError

if TYPE_CHECKING:
    from featurestore.monitoring.monitor import Monitor, Round

LONGEST_SLEEP = 60.0
"""Seconds after which the clock is asked again, for it may have been set."""


def monitor(
    run: Run,
    once: Annotated[bool, typer.Option("--once", help="Look once and end: for cron or an orchestrator.")] = False,
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How often to look, such as 15m. Default: as in featurestore.toml.")
    ] = None,
) -> Answer:
    """Look at freshness, lateness, volume, partitions, drift and skew, and tell a webhook of what begins or ceases to alert.

    Looks at once, then at multiples of DURATION since 1970, until SIGTERM or Ctrl-C. Results are kept in `[monitor] path`,
    where the server's /metrics and its pages read them. With --once exit 1 if an alert is open. One monitor works at a time.

    Example:
      featurestore monitor --once --json
      featurestore monitor --every 15m
    """
    if once and every is not None:
        raise UsageError("FS102", "--every goes without --once", hint="--once")
    micros = _micros(every or run.store.config.monitor.every)
    watched = run.store.monitor()
    with watched.locked():
        if not once:
            _look_for_ever(run, watched, micros)
        found = watched.look()
        _tell(run, found)
        return Answer({**found.to_dict(), "warnings": run.warnings}, _text(found), _errors(found))


def _micros(every: str) -> int:
    from featurestore.intervals import parse_duration

    try:
        micros = parse_duration(every, what="every").micros
    except FeatureStoreError as error:
        raise typed_wrong("--every", error) from None
    if micros < 1_000_000:
        raise UsageError("FS102", f"--every {every} is shorter than a second", hint="--every 15m")
    return micros


def _look_for_ever(run: Run, watched: Monitor, every: int) -> NoReturn:
    """Until a signal comes. What a look could not write is said, and tried again with the next."""
    while True:
        run.warnings.clear()  # with each look it is said again
        try:
            found = watched.look()
        except FeatureStoreError as error:
            run.warn(str(error))
        else:
            _tell(run, found)
            if not run.quiet:
                print(_line(found), file=sys.stderr, flush=True)
        _wait(run, watched, every)


def after(now: int, every: int) -> int:
    """The next multiple of `every` since 1970; all in microseconds."""
    return (now // every + 1) * every


def _wait(run: Run, watched: Monitor, every: int) -> None:
    """Sleep until the next look is due, or the clock is set back; meanwhile send again what was not taken, when it is due."""
    until = after(watched.clock.now(), every)
    while until - every <= (now := watched.clock.now()) < until:
        try:
            due = watched.due
            if due is not None and due <= now:
                _say_waiting(run, watched.deliver())
                continue
        except FeatureStoreError as error:
            run.warn(str(error))
            due = None
        time.sleep(min((min(until, due or until) - now) / 1_000_000, LONGEST_SLEEP))


def _tell(run: Run, found: Round) -> None:
    opened, resolved = ([str(key) for key in keys] for keys in (found.opened, found.resolved))
    counted = found.to_dict()
    run.tell("round", at=counted["at"], checks=counted["checks"], opened=opened, resolved=resolved, waiting=found.waiting)
    for check, why in found.failed.items():
        run.warn(f"{check} {why}")
    _say_waiting(run, found)


def _say_waiting(run: Run, found: Round) -> None:
    if found.why:
        run.warn(f"the webhook does not take events: {found.why}")


def _errors(found: Round) -> list[FeatureStoreError]:
    if not found.open:
        return []
    named = "; ".join(str(key) for key in list(found.open)[:5]) + ("; …" if len(found.open) > 5 else "")
    what = f"{len(found.open):,} alert{'s are' if len(found.open) > 1 else ' is'} open: {named}"
    return [CheckFailed("FS166", what, hint="featurestore monitor --once --json, which says what is wrong")]


def _line(found: Round) -> str:
    told = found.to_dict()
    moved = [f"opened {key}" for key in found.opened] + [f"resolved {key}" for key in found.resolved]
    return "; ".join([f"{told['at']}  {show.counts(told['checks'])}, {len(found.open)} open", *moved])


def _text(found: Round) -> str:
    rows: list[Any] = [
        (r.status, r.check, r.subject if r.feature is None else f"{r.subject}.{r.feature}", r.what)
        for r in found.results
        if r.status != "ok"
    ]
    told = [_line(found), show.table(("status", "check", "of", "what"), rows, indent="  ") if rows else ""]
    if found.waiting:
        told.append(f"{found.waiting:,} events wait for the webhook: {found.why or 'they are not due yet'}")
    return "\n".join(part for part in told if part)
