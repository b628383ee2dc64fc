"""What a check found, kept as lines of JSON: one file a day (UTC), appended whole, newest last."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from featurestore.errors import StoreError
from featurestore.intervals import format_instant, parse_formatted

FORMAT = 1
OK, WARNING, ALERT, SKIPPED = "ok", "warning", "alert", "skipped"
MOST_BYTES = 8_000_000
"""What `recent` reads at most."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One check of one subject.

    at: instant of the check, microseconds. check: "freshness", "lateness", "volume", "partitions", "drift", "skew", "profile",
    "performance". kind, subject: what was looked at: ("source" | "view" | "service" | "training_set", its name). feature: of
    the subject, or None. status: OK, WARNING, ALERT or SKIPPED (not compared, `what` says why). value, threshold: of the
    check's own measure, None where there is none. what: one sentence. details: what JSON can hold, by check.
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
        with open(folder / f"{day}.jsonl", "ab", buffering=0) as file:
            file.write(lines.encode())
            os.fsync(file.fileno())


def recent(folder: Path, since: int, *, most_bytes: int = MOST_BYTES) -> list[Result]:
    """Results from `since` (microseconds) on, oldest first, of the newest files that together hold no more than `most_bytes`.

    A line that a crash cut off is left out. Raises: StoreError FS488 for a newer format.
    """
    chosen: list[Path] = []
    for path in sorted(_files(folder), reverse=True):
        if path.stem < _day(since):
            break
        try:
            most_bytes -= path.stat().st_size
        except FileNotFoundError:  # retention took it
            continue
        if most_bytes < 0 and chosen:
            break
        chosen.append(path)
    return [result for path in reversed(chosen) for result in _read(path) if result.at >= since]


def latest(results: Iterable[Result]) -> dict[tuple[str, str, str, str | None], Result]:
    """The newest result of each check of each subject and feature."""
    return {(r.check, r.kind, r.subject, r.feature): r for r in sorted(results, key=lambda r: r.at)}


def drop_before(folder: Path, instant: int) -> int:
    """Delete the files of days that ended before `instant`. Returns: how many."""
    old = [path for path in _files(folder) if path.stem < _day(instant)]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _files(folder: Path) -> list[Path]:
    return list(folder.glob("????-??-??.jsonl")) if folder.is_dir() else []


def _day(micros: int) -> str:
    return format_instant(micros)[:10]


def _read(path: Path) -> Iterator[Result]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if told.pop("format") > FORMAT:
            raise StoreError("FS488", "results of a newer featurestore", where=str(path), hint="a newer featurestore")
        told["at"] = parse_formatted(told["at"])
        yield Result(**told)
