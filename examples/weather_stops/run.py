"""Two feeds of three airports, hour by hour, until one of them stops: who notices, when, and where it can be seen.

    python examples/weather_stops/run.py [FOLDER]

FOLDER holds nycflights_flights.parquet and nycflights_weather.parquet; by default $FEATURESTORE_DATA, else ../shared/data
beside the repository. What the story makes lies beside it, in data/ and .featurestore/. It ends now: the flights of May 2013
are moved by so many hours.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from featurestore import FeatureStore
from featurestore.monitoring.monitor import Round

HERE = Path(__file__).resolve().parent
DEFAULT_DATA = HERE.parents[1].parent / "shared" / "data"
HOUR = timedelta(hours=1)
BEGIN = datetime(2013, 5, 1, tzinfo=UTC)
FIRST_LOOK = datetime(2013, 5, 29, 6, tzinfo=UTC)
STOPS = datetime(2013, 5, 29, 14, 30, tzinfo=UTC)
"""The last weather is that of 14:00, known at 14:10."""
END = datetime(2013, 5, 29, 18, tzinfo=UTC)


@dataclass
class Time:
    """The story's own clock, in microseconds."""

    instant: datetime

    def now(self) -> int:
        return round(self.instant.timestamp() * 1_000_000)


@dataclass
class Airports:
    """The feeds as they arrive in a project's folder, by when a row is known. moved: by how much all times are."""

    data: Path
    project: Path
    moved: timedelta
    written: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weather = pl.read_parquet(self.data / "nycflights_weather.parquet")
        flights = pl.read_parquet(self.data / "nycflights_flights.parquet").drop_nulls("departed_at")
        self.feeds = {
            "weather": (weather.select("origin", "observed_at", "temp", "wind_speed", "visib"), timedelta(minutes=10)),
            "departures": (flights.select("origin", "departed_at", "dep_delay"), timedelta(0)),
        }

    def arrive(self, feed: str, until: datetime) -> None:
        """Write what is known before an instant and was not before: a file, if there is any."""
        rows, delay = self.feeds[feed]
        happened = pl.col(rows.columns[1])
        since = self.written.get(feed, BEGIN + self.moved)
        known = happened + delay
        new = rows.with_columns(happened + self.moved).filter((known >= since) & (known < until))
        folder = self.project / "data" / feed
        folder.mkdir(parents=True, exist_ok=True)
        if new.height:
            new.write_parquet(folder / f"{until:%Y%m%d-%H%M}.parquet")
        self.written[feed] = until


def main(data: Path, project: Path = HERE, now: datetime | None = None) -> list[Round]:
    """Look every two hours, from a while before the weather stops; the feed is still silent at the end.

    Returns: what the monitor found, look by look.
    """
    moved = ((now or datetime.now(UTC)) - END) // HOUR * HOUR
    airports, time = Airports(data, project, moved), Time(FIRST_LOOK + moved)
    for former in ("data", ".featurestore"):
        shutil.rmtree(project / former, ignore_errors=True)
    found = []
    print(f"{'at':<18}{'weather of JFK':<28}what the monitor tells\n")
    while time.instant <= END + moved:
        airports.arrive("departures", time.instant)
        airports.arrive("weather", min(time.instant, STOPS + moved))
        found.append(look(project, time))
        time.instant += 2 * HOUR
    print("\nThe board shows it, and so do the pages of all that is made of it:\n")
    print("  featurestore serve --project examples/weather_stops")
    print("  http://127.0.0.1:8000/freshness         which feed is silent, since when, and how long it may be")
    print("  http://127.0.0.1:8000/sources/weather   what is made of it")
    return found


def look(project: Path, time: Time) -> Round:
    """What runs every two hours in production: materialize, monitor. And what a model is served then."""
    store = FeatureStore(project, clock=time)
    store.materialize()
    monitor = store.monitor()
    with monitor.locked():
        found = monitor.look()
    answer = store.get_online_features("departure_delay_v1", {"origin": ["JFK"]}, include=("statuses",))
    temp, status = answer.rows[0][0], answer.statuses[0][0]
    served = f"{status}, {temp:.0f} °F" if temp is not None else status
    print(f"{time.instant:%d %b %H:%M}      {served:<28}{told(found)}")
    for result in found.results:
        if result.status == "alert" and found.opened:
            print(f"{'':<46}{result.what}")
    return found


def told(found: Round) -> str:
    """What began or ceased to alert, and what still does."""
    still = [key for key in found.open if key not in found.opened]
    by_word = {"opened": found.opened, "resolved": found.resolved, "still": still}
    return "; ".join(f"{word}: {key}" for word, keys in by_word.items() for key in keys) or "all is well"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FEATURESTORE_DATA") or DEFAULT_DATA).resolve())
