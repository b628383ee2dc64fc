"""A feed with faults planted in it: a project folder whose source is healthy but on chosen days.

    python scripts/planted.py FOLDER [--days 42] [--seed 7] [--stopped 40,41.5] [--shifted 33,34] [--late 36] [--missing 38]

Sensors send readings, fewer by night than by day, each known some minutes after it was made; a day's readings lie in a
partition of their own. One seed gives one feed: a day's rows depend on the seed, the day and its fault alone, so that a feed
can be written up to a day, and later up to another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurestore.intervals import MICROS_PER_DAY, format_instant, parse_instant

START = "2026-01-05T00:00:00Z"
"""A Monday."""
HOUR = MICROS_PER_DAY // 24
MINUTE = HOUR // 60
ROWS_AN_HOUR = 40
BY_NIGHT = 0.5
"""The share of them that comes in each of the hours 0 to 5."""
SENSORS = 20
USUALLY_LATE = 4 * MINUTE
"""The mean time from a reading until it is known."""
LATER = 6 * HOUR
"""How much longer that takes on a day of late arrivals."""
SHIFT = 2.0
"""By how many standard deviations a shifted day's values are off."""

_SETTINGS = """[project]
name = "planted"

[monitor]
freshness = { "*" = "2h" }
"""
_REGISTRY = '''"""Readings of sensors."""

from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

sensor = Entity(name="sensor", join_keys=["sensor_id"])

readings = ParquetSource(
    name="readings",
    path="data/readings/*/*.parquet",
    event_timestamp="read_at",
    created_timestamp="loaded_at",
)

sensor_readings = FeatureView(
    name="sensor_readings",
    entities=[sensor],
    source=readings,
    features=[latest("value"), latest("unit"), agg.count(window="1d"), agg.mean("value", window="1d")],
)

sensors_v1 = FeatureService(name="sensors_v1", features=[sensor_readings])
'''


@dataclass(frozen=True)
class Feed:
    """What was planted. start: the first instant, in microseconds. until: how many days are written."""

    folder: Path
    start: int
    until: int

    def day(self, number: float) -> int:
        """The instant at which a day begins, counted from 0; 1.5 is noon of the second day."""
        return self.start + round(number * MICROS_PER_DAY)

    def partition(self, number: int) -> str:
        """The name of a day's partition: "2026-01-05"."""
        return format_instant(self.day(number))[:10]


def plant(
    folder: Path,
    *,
    days: int = 42,
    seed: int = 7,
    start: str = START,
    stopped: tuple[float, float] | None = None,
    shifted: Collection[int] = (),
    late: Collection[int] = (),
    missing: Collection[int] = (),
    until: int | None = None,
) -> Feed:
    """Write the project, and its feed up to `until` (default: all of its days); what a folder has of a day is written anew.

    Args:
        days: how long the feed is. start: its first instant, with an offset, at midnight UTC.
        stopped: (from, to), in days and parts of a day: nothing is read in between. shifted: days whose values are too high.
        late: days whose readings are known six hours later than usual. missing: days whose partition is not there.
    """
    feed = Feed(folder, parse_instant(start), min(days, days if until is None else until))
    for path, text in (("featurestore.toml", _SETTINGS), ("registry/sensors.py", _REGISTRY)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    for number in range(feed.until):
        rows = _day(feed, number, seed, number in shifted, number in late)
        if stopped is not None:
            rows = _without(rows, feed.day(stopped[0]), feed.day(stopped[1]))
        path = folder / "data" / "readings" / f"day={feed.partition(number)}" / "part.parquet"
        path.unlink(missing_ok=True)
        if number not in missing and rows.num_rows:
            _write(rows, path)
    _write(_spine(feed, seed), folder / "data" / "spine.parquet")
    return feed


def _day(feed: Feed, number: int, seed: int, shifted: bool, late: bool) -> Any:
    """The readings of one day, in the order they are made. The same ones, with other values or times, where it has a fault."""
    import numpy as np
    import pyarrow as pa

    drawn = np.random.default_rng([seed, number])
    usual = np.where(np.arange(24) < 6, BY_NIGHT, 1.0) * ROWS_AN_HOUR
    hours = np.repeat(np.arange(24), drawn.poisson(usual))
    read_at = np.sort(feed.day(number) + hours * HOUR + drawn.integers(0, HOUR, len(hours)))
    lateness = drawn.exponential(USUALLY_LATE, len(hours)).astype(np.int64) + (LATER if late else 0)
    values = drawn.normal(20.0, 5.0, len(hours)) + (5.0 * SHIFT if shifted else 0.0)
    instants = pa.timestamp("us", "UTC")
    return pa.table({
        "sensor_id": pa.array(drawn.integers(0, SENSORS, len(hours))),
        "read_at": pa.array(read_at).cast(instants),
        "loaded_at": pa.array(read_at + lateness).cast(instants),
        "value": pa.array(values),
        "unit": pa.array(drawn.choice(["C", "F"], len(hours), p=[0.9, 0.1])),
    })  # fmt: skip


def _without(rows: Any, first: int, end: int) -> Any:
    """The rows but for those read from `first` on and before `end`."""
    import numpy as np

    read_at = rows.column("read_at").cast("int64").to_numpy()
    return rows.filter(np.logical_or(read_at < first, read_at >= end))


def _spine(feed: Feed, seed: int) -> Any:
    """Each sensor at noon of each day, and a label."""
    import numpy as np
    import pyarrow as pa

    asked = [feed.day(number + 0.5) for number in range(feed.until) for _ in range(SENSORS)]
    return pa.table({
        "sensor_id": pa.array(list(range(SENSORS)) * feed.until, pa.int64()),
        "as_of": pa.array(asked, pa.int64()).cast(pa.timestamp("us", "UTC")),
        "label": pa.array(np.random.default_rng(seed).integers(0, 2, len(asked))),
    })  # fmt: skip


def _write(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",") if part]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write a project whose feed has faults on chosen days, from 0.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=42)
    parser.add_argument("--until", type=int)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--start", default=START)
    for fault in ("stopped", "shifted", "late", "missing"):
        parser.add_argument(f"--{fault}", type=_numbers, default=[])
    given = vars(parser.parse_args(arguments))
    folder, stopped = given.pop("folder"), given.pop("stopped")
    if len(stopped) not in (0, 2):
        parser.error("--stopped takes two days, from and to: 40,41.5")
    for fault in ("shifted", "late", "missing"):
        given[fault] = [int(day) for day in given[fault]]
    feed = plant(folder, stopped=(stopped[0], stopped[1]) if stopped else None, **given)
    first, end = format_instant(feed.start), format_instant(feed.day(feed.until))
    print(f"{feed.until} days of readings in {folder}, from {first} to {end}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
