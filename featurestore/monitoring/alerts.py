"""Alerts: opened when a check's result begins to alert, resolved when it no longer does; each told once to a receiver.

What is open and what is still to be told lies in one file, written whole before anything is sent and again after each event
that was taken, so that a restart neither repeats nor loses one. Only a crash between the receiver's answer and that write makes
an event come twice; its id is then the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from featurestore.atomic import write_text
from featurestore.errors import StoreError
from featurestore.intervals import MICROS_PER_SECOND, format_instant
from featurestore.monitoring.results import ALERT, OK, READING, SKIPPED, WARNING, Result

FORMAT = 1
FILE = "alerts.json"
OPENED, RESOLVED = "opened", "resolved"
PROJECT = "project"
"""The kind of what a check says that could not run."""
FIRST_WAIT, LONGEST_WAIT = 30 * MICROS_PER_SECOND, 3_600 * MICROS_PER_SECOND
"""How long after a failure an event is sent again: twice as long each time."""
MOST_WAITING = 10_000
"""Events that may wait for a receiver; beyond it the oldest are given up."""


class Key(NamedTuple):
    """What an alert is about."""

    check: str
    kind: str
    subject: str
    feature: str | None

    @classmethod
    def of(cls, result: Result) -> Key:
        return cls(result.check, result.kind, result.subject, result.feature)

    def __str__(self) -> str:
        return f"{self.check} of {self.kind} {self.subject}" + (f".{self.feature}" if self.feature else "")


class Change(NamedTuple):
    """An alert that opened or was resolved. since: when it opened. result: None if what alerted is not there any more."""

    event: str
    key: Key
    since: int
    result: Result | None


@dataclass(frozen=True)
class Event:
    """One thing to tell a receiver. body: what is sent. attempts: how often it was not taken. due: microseconds."""

    body: Mapping[str, Any]
    attempts: int = 0
    due: int = 0

    @property
    def id(self) -> str:
        return str(self.body["id"])

    def failed(self, now: int) -> Event:
        """The same, to be sent again later."""
        wait = min(FIRST_WAIT << min(self.attempts, 32), LONGEST_WAIT)
        return replace(self, attempts=self.attempts + 1, due=now + wait)


@dataclass
class Alerts:
    """open: {what: since when, microseconds}. waiting: events that no receiver has taken, oldest first. lost: how many were
    given up."""

    open: dict[Key, int] = field(default_factory=dict)
    waiting: list[Event] = field(default_factory=list)
    lost: int = 0

    # On the disk.

    @classmethod
    def read(cls, folder: Path) -> Alerts:
        """Raises: StoreError FS490 for a file that cannot be read, or is of a newer format."""
        path = folder / FILE
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] > FORMAT:
                raise StoreError("FS490", "alerts of a newer featurestore", where=str(path), hint="a newer featurestore")
            opened = {Key(*(one[name] for name in Key._fields)): int(one["since"]) for one in told["open"]}
            return cls(opened, [Event(**one) for one in told["waiting"]], int(told["lost"]))
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise StoreError("FS490", f"alerts cannot be read: {error.strerror}", where=str(path)) from error
        except (ValueError, KeyError, TypeError) as error:
            what = f"alerts cannot be read: {type(error).__name__}"
            raise StoreError("FS490", what, where=str(path), hint="without the file, which then begins anew") from error

    def write(self, folder: Path) -> None:
        """Raises: StoreError FS405, FS407."""
        opened = [{**key._asdict(), "since": since} for key, since in self.open.items()]
        told = {"format": FORMAT, "open": opened, "waiting": [asdict(event) for event in self.waiting], "lost": self.lost}
        write_text(folder / FILE, json.dumps(told, ensure_ascii=False, indent=1) + "\n")

    # What changes.

    def take(self, results: Iterable[Result], complete: Collection[str], now: int) -> list[Change]:
        """Open and close alerts by what checks have found.

        complete: the checks that ran to their end: what they no longer speak of is there no more, and its alert is resolved.
        A result that was skipped changes nothing; nor does a subject that was not, or not rightly, looked at change what is
        open of its features.
        Returns: what opened and what was resolved, in order.
        """
        found: dict[Key, Result] = {}
        for result in sorted(results, key=lambda one: one.status == ALERT):  # of several of one thing, one that alerts counts
            found[Key.of(result)] = result
        over = [key for key in self.open if self._is_over(key, found, complete)]
        changes = [Change(RESOLVED, key, self.open.pop(key), found.get(key)) for key in over]
        for key, result in found.items():
            if result.status == ALERT and key not in self.open:
                self.open[key] = now
                changes.append(Change(OPENED, key, now, result))
        return changes

    @staticmethod
    def _is_over(key: Key, found: Mapping[Key, Result], complete: Collection[str]) -> bool:
        result = found.get(key)
        if result is not None:
            return result.status in (OK, WARNING)
        whole = found.get(key._replace(feature=None))
        return key.check in complete and not (whole is not None and whole.status in (SKIPPED, ALERT))

    # What is told.

    def tell(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Have these sent, after those that wait."""
        self.waiting += [Event(body) for body in bodies]
        self.lost += max(len(self.waiting) - MOST_WAITING, 0)
        self.waiting = self.waiting[-MOST_WAITING:]

    @property
    def due(self) -> int | None:
        """When the next event is to be sent; None if none waits. They are taken in their order."""
        return self.waiting[0].due if self.waiting else None


def body_of(change: Change, *, at: int, project: str) -> dict[str, Any]:
    """What a receiver is told: plain JSON without any value of a row."""
    event, key, since, result = change
    alert = _digest(*key, since)
    again = {PROJECT: "runs again", READING: "it can be read again, or is not read any more"}
    gone = again.get(key.kind) or again.get(key.check) or "is not checked any more"
    return {
        "format": FORMAT,
        "id": _digest(alert, event),
        "alert": alert,
        "event": event,
        "at": format_instant(at),
        "opened_at": format_instant(since),
        "project": project,
        **key._asdict(),
        "status": None if result is None else result.status,
        "value": None if result is None else result.value,
        "threshold": None if result is None else result.threshold,
        "what": gone if result is None else result.what,
    }


def _digest(*told: object) -> str:
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


__all__ = ["FILE", "OPENED", "PROJECT", "RESOLVED", "Alerts", "Change", "Event", "Key", "body_of"]
