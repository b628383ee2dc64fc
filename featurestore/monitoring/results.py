"""What a check found, kept as lines of JSON: one file a day (UTC), appended whole, newest last."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from featurestore.errors import StoreError
from featurestore.intervals import format_instant, parse_formatted

FORMAT = 1
OK, WARNING, ALERT, SKIPPED = "ok", "warning", "alert", "skipped"
READING = "reading"
"""The check that alerts while a source cannot be read, and says nothing else: what its rows say is another matter."""
MOST_BYTES = 8_000_000
"""What `recent` reads at most."""
MOST_KEPT = 2_000_000_000
"""Bytes of results that are kept, however long they might be."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One check of one subject.

    at: instant of the check, microseconds. check: "freshness", "lateness", "volume", "partitions", "reading", "drift",
    "skew", "performance", "monitor" (a check that could not run). kind, subject: what was looked at: ("source" | "view" |
    "service" | "training_set" | "project", its name). feature: of the subject, or None. status: OK, WARNING, ALERT or SKIPPED
    (not compared, `what` says why). value, threshold: of the check's own measure, None where there is none. what: one
    sentence. details: what JSON can hold, by check.
    """

    at: int
    check: str
    kind: str
    subject: str
    feature: str | None = None
    status: str = OK
    value: float | None = None
    threshold: float | None = None
    what: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self), "at": format_instant(self.at)}


def append(folder: Path, results: Sequence[Result]) -> None:
    """Keep results, each in the file of its day. Raises: OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    by_day: dict[str, list[Result]] = {}
    for result in results:
        by_day.setdefault(_day(result.at), []).append(result)
    for day, found in by_day.items():
        lines = "".join(json.dumps(r.to_json(), allow_nan=False) + "\n" for r in found)
        path = folder / f"{day}.jsonl"
        torn = _is_torn(path)
        with open(path, "ab") as file:
            file.write(b"\n" * torn + lines.encode())
            file.flush()
            os.fsync(file.fileno())


def _is_torn(path: Path) -> bool:
    """Whether a crash has cut off the last line: what follows must not become part of it."""
    try:
        with open(path, "rb") as file:
            return file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
    except FileNotFoundError:
        return False


def recent(folder: Path, since: int, *, most_bytes: int = MOST_BYTES) -> list[Result]:
    """Results from `since` (microseconds) on, oldest first, of the newest `most_bytes` of the files.

    A line that a crash cut off is left out. Raises: StoreError FS488 for a newer format.
    """
    chosen: list[tuple[Path, int]] = []
    for path in sorted(_files(folder), reverse=True):
        if path.stem < _day(since) or most_bytes <= 0:
            break
        try:
            size = path.stat().st_size
        except FileNotFoundError:  # retention took it
            continue
        chosen.append((path, max(size - most_bytes, 0)))
        most_bytes -= size
    return [result for path, start in reversed(chosen) for result in _read(path, start) if result.at >= since]


def of_checks(folder: Path, checks: Collection[str], since: int, until: int) -> list[Result]:
    """All results of some checks in [since, until), microseconds, oldest first; however many others lie between them.

    Raises: StoreError FS488 for a newer format.
    """
    meant = [path for path in sorted(_files(folder)) if _day(since) <= path.stem <= _day(until)]
    found = (result for path in meant for result in _read(path, 0, [f'"check": "{check}"'.encode() for check in checks]))
    return [result for result in found if result.check in checks and since <= result.at < until]


def drop_before(folder: Path, instant: int) -> int:
    """Delete the files of days that ended before `instant`. Returns: how many."""
    old = [path for path in _files(folder) if path.stem < _day(instant)]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def drop_beyond(folder: Path, most_bytes: int) -> int:
    """Delete the oldest days until what is left takes no more than that; never the newest. Returns: how many."""
    held, dropped = 0, 0
    for number, path in enumerate(sorted(_files(folder), reverse=True)):
        held += path.stat().st_size
        if number and held > most_bytes:
            path.unlink(missing_ok=True)
            dropped += 1
    return dropped


def finite(result: Result) -> Result:
    """A result as JSON can hold it."""
    numbers = {name: _plain(getattr(result, name)) for name in ("value", "threshold")}
    return replace(result, **numbers, details=_plain(result.details))


def _plain(told: Any) -> Any:
    if isinstance(told, float):
        return told if math.isfinite(told) else None
    if isinstance(told, Mapping):
        return {str(name): _plain(value) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [_plain(value) for value in told]
    return told if told is None or isinstance(told, bool | int | str) else str(told)


def _files(folder: Path) -> list[Path]:
    return list(folder.glob("????-??-??.jsonl")) if folder.is_dir() else []


def _day(micros: int) -> str:
    return format_instant(micros)[:10]


@lru_cache(maxsize=256)
def _instant(text: str) -> int:
    """Kept, because the results of one look share it."""
    return parse_formatted(text)


def _read(path: Path, start: int, holding: Sequence[bytes] = ()) -> Iterator[Result]:
    """Of the lines that begin at byte `start` or after it; holding: only of those that hold one of these, if any is given."""
    try:
        with open(path, "rb") as file:
            file.seek(max(start - 1, 0))
            read = file.read()
    except FileNotFoundError:
        return
    for line in (read.partition(b"\n")[2] if start else read).split(b"\n"):
        if holding and not any(words in line for words in holding):
            continue
        try:
            told = orjson.loads(line)
        except ValueError:
            continue
        if told.pop("format") > FORMAT:
            raise StoreError("FS488", "results of a newer featurestore", where=str(path), hint="a newer featurestore")
        told["at"] = _instant(told["at"])
        yield Result(**told)
