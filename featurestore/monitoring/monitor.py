"""One look at everything that is watched: run the checks, keep what they found, open and resolve alerts, tell a receiver.

Which checks there are, and what they look at, is the store's wiring. A check that cannot run is a result itself and stops
nothing. One monitor at a time works in a folder: two would each tell of every alert.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from featurestore.atomic import disk_errors, sweep, write_text
from featurestore.errors import FeatureStoreError, StoreLocked
from featurestore.intervals import MICROS_PER_DAY, Clock, format_instant, parse_formatted
from featurestore.monitoring import results as kept
from featurestore.monitoring.alerts import FILE, OPENED, PROJECT, Alerts, Event, Key, body_of
from featurestore.monitoring.results import ALERT, SKIPPED, Result, finite
from featurestore.monitoring.webhook import deliver

log = logging.getLogger(__name__)

LOCK = "monitor.lock"
LATEST = "latest.json"
"""The newest result of each check, of its details only whose it is: what a server reads."""
COULD_NOT_RUN = "could not run"
"""How the sentence begins of a check that failed; an error follows, which may name all there is."""
NOT_YET = frozenset({"FS394", "FS402"})
"""Codes of what is no failure of a check: there is nothing to look at yet."""


class Check(NamedTuple):
    """names: the checks whose results it gives, all of what there is to say of them; the first is its own. run: what they find
    at an instant (microseconds)."""

    names: tuple[str, ...]
    run: Callable[[int], Iterable[Result]]


@dataclass
class Round:
    """What one look has found. opened, resolved: alerts; open: all that are. failed: {check: why it could not run}. taken,
    waiting: events that the receiver took, and that it has still to take, and `why`."""

    at: int
    results: list[Result] = field(default_factory=list)
    opened: list[Key] = field(default_factory=list)
    resolved: list[Key] = field(default_factory=list)
    open: dict[Key, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    taken: int = 0
    waiting: int = 0
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        statuses = [result.status for result in self.results]
        return {
            "at": format_instant(self.at),
            "checks": {status: statuses.count(status) for status in ("ok", "warning", "alert", "skipped")},
            "results": [{k: v for k, v in result.to_json().items() if k != "details"} for result in self.results],
            "alerts": {
                "opened": [key._asdict() for key in self.opened],
                "resolved": [key._asdict() for key in self.resolved],
                "open": [{**key._asdict(), "since": format_instant(since)} for key, since in self.open.items()],
            },
            "webhook": {"taken": self.taken, "waiting": self.waiting, "reason": self.why or None},
        }


class Monitor:
    """The monitor of a project.

    checks: opened anew for each look, so that changed definitions count from the next one on. retention: microseconds that
    results are kept. send: tells a receiver; None: nobody is told, and nothing is kept for it.
    """

    def __init__(
        self,
        folder: Path,
        project: str,
        checks: Callable[[], AbstractContextManager[Sequence[Check]]],
        *,
        clock: Clock,
        retention: int = 90 * MICROS_PER_DAY,
        send: Callable[[Event], None] | None = None,
    ) -> None:
        self.folder, self.clock = folder, clock
        self._project, self._checks, self._retention, self._send = project, checks, retention, send

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the one monitor of the folder. Raises: StoreLocked FS489, StoreError FS405, FS407."""
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                what = f"another monitor works in {str(self.folder)!r}"
                raise StoreLocked("FS489", what, hint="that one, or --once when it has stopped") from None
            for name in (FILE, LATEST):
                sweep(self.folder / name)
            yield
        finally:
            os.close(lock)

    def look(self) -> Round:
        """Look once. The caller holds the lock. Raises: StoreError FS405, FS407, FS490; what a check raises is a result."""
        at = self.clock.now()
        alerts, found = Alerts.read(self.folder), Round(at)
        complete = self._run(found)
        with disk_errors(self.folder):
            kept.append(self.folder, found.results)
        changes = alerts.take(found.results, complete, at)
        for change in changes:
            (found.opened if change.event == OPENED else found.resolved).append(change.key)
        if self._send is not None:
            alerts.tell(body_of(change, at=at, project=self._project) for change in changes)
        alerts.write(self.folder)
        self._write_latest(found, complete)
        found.open = dict(alerts.open)
        self._deliver(alerts, found)
        with disk_errors(self.folder):
            kept.drop_before(self.folder, at - self._retention)
            kept.drop_beyond(self.folder, kept.MOST_KEPT)
        return found

    def deliver(self) -> Round:
        """Send what is due, between two looks. The caller holds the lock. Raises: StoreError."""
        alerts, found = Alerts.read(self.folder), Round(self.clock.now())
        self._deliver(alerts, found)
        return found

    @property
    def due(self) -> int | None:
        """When the next event is to be sent. Raises: StoreError FS490."""
        return None if self._send is None else Alerts.read(self.folder).due

    def _deliver(self, alerts: Alerts, found: Round) -> None:
        if self._send is not None:
            found.taken, found.why = deliver(alerts, self._send, self.clock.now(), lambda: alerts.write(self.folder))
        found.waiting = len(alerts.waiting)

    def _run(self, found: Round) -> set[str]:
        """Run every check. Returns: the names of those that ran to their end."""
        complete: set[str] = set()
        try:
            with self._checks() as checks:
                for check in checks:
                    complete |= self._checked(check, found)
        except Exception as error:
            self._failed("monitor", error, found)
        else:
            complete.add("monitor")
        return complete

    def _checked(self, check: Check, found: Round) -> set[str]:
        try:
            results = [finite(result) for result in check.run(found.at)]
        except Exception as error:
            self._failed(check.names[0], error, found)
            return set()
        found.results += results
        return set(check.names)

    def _failed(self, check: str, error: Exception, found: Round) -> None:
        result = failed(error, at=found.at, check=check, kind=PROJECT, subject=self._project)
        found.failed[check] = result.what
        found.results.append(result)

    def _write_latest(self, found: Round, complete: set[str]) -> None:
        """What was found, and of checks that could not run what they found last."""
        former = [r for r in latest(self.folder) if r.check not in complete]
        newest = {Key.of(r): r for r in (*former, *found.results)}
        told = {
            "format": kept.FORMAT,
            "at": format_instant(found.at),
            "results": [{**r.to_json(), "details": _whose(r)} for r in newest.values()],
        }
        write_text(self.folder / LATEST, json.dumps(told, allow_nan=False) + "\n")


def failed(error: Exception, *, at: int, check: str, kind: str, subject: str) -> Result:
    """What is kept of a check that could not run: it alerts, unless there is nothing to look at yet."""
    what = str(error) if isinstance(error, FeatureStoreError) else f"{type(error).__name__}: {error}"
    log.debug("monitor: %s: %s", check, what, exc_info=error)
    status = SKIPPED if isinstance(error, FeatureStoreError) and error.code in NOT_YET else ALERT
    about = {"at": at, "check": check, "kind": kind, "subject": subject}
    return Result(**about, status=status, what=f"{COULD_NOT_RUN}: {what}"[:1_000])  # type: ignore[arg-type]


def latest(folder: Path) -> list[Result]:
    """The newest result of each check, as the last look of a monitor left them; without details. Nothing where there was
    none, or it cannot be read."""
    try:
        told = json.loads((folder / LATEST).read_text(encoding="utf-8"))
        return [_read(one) for one in told["results"]] if told["format"] <= kept.FORMAT else []
    except (OSError, ValueError, KeyError, TypeError, FeatureStoreError):
        return []


def _whose(result: Result) -> dict[str, Any]:
    return {name: told for name, told in result.details.items() if name == "service"}


def _read(told: Mapping[str, Any]) -> Result:
    given = {name: value for name, value in told.items() if name != "format"}
    return Result(**{**given, "at": parse_formatted(given["at"])})


__all__ = ["LATEST", "LOCK", "Check", "Monitor", "Round", "failed", "latest"]
