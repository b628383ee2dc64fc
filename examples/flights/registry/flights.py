"""What is known of an airport's departures at the moment the next flight is due to leave."""

import os
from pathlib import Path

from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

REPOSITORY = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("FEATURESTORE_DATA") or REPOSITORY.parent / "shared" / "data")

airport = Entity(name="airport", join_keys=["origin"])

departures = ParquetSource(
    name="departures",
    path=str(DATA / "nycflights_flights.parquet"),
    event_timestamp="departed_at",
    delay="0s",
    description="One row per flight. Its delay is a fact from the moment it leaves; a cancelled one is none.",
)

airport_delays = FeatureView(
    name="airport_delays",
    entities=[airport],
    source=departures,
    features=[
        latest("dep_delay", name="last_delay"),
        agg.mean("dep_delay", window="2h"),
    ],
    description="How late the airport runs, by the flights that have left: the last one, and those of two hours.",
)

flight_delay_v1 = FeatureService(
    name="flight_delay_v1",
    features=[airport_delays],
    description="Predicts, when a flight is due to leave, how late it will.",
)
