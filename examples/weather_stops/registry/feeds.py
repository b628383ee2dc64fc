"""What is known of an airport when a flight is due to leave: its weather, and how late it runs. Two feeds, hour by hour."""

from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

airport = Entity(name="airport", join_keys=["origin"], description="Newark, Kennedy, LaGuardia.")

weather = ParquetSource(
    name="weather",
    path="data/weather/*.parquet",
    event_timestamp="observed_at",
    delay="10m",
    schema={"origin": "string", "observed_at": "timestamp[us, UTC]", "temp": "double", "wind_speed": "double",
            "visib": "double"},
    description="Observations of every full hour, sent ten minutes later.",
    owner="weather",
)  # fmt: skip

departures = ParquetSource(
    name="departures",
    path="data/departures/*.parquet",
    event_timestamp="departed_at",
    delay="0s",
    schema={"origin": "string", "departed_at": "timestamp[us, UTC]", "dep_delay": "int32"},
    description="One row per flight, from the moment it leaves.",
    owner="operations",
)

airport_weather = FeatureView(
    name="airport_weather",
    entities=[airport],
    source=weather,
    ttl="3h",
    features=[latest("temp"), latest("wind_speed"), latest("visib")],
    description="The newest observation; after three hours it is none any more.",
    owner="weather",
)

airport_delays = FeatureView(
    name="airport_delays",
    entities=[airport],
    source=departures,
    features=[agg.mean("dep_delay", window="2h"), agg.count(window="2h")],
    description="How late the airport runs, by the flights of two hours.",
    owner="operations",
)

departure_delay_v1 = FeatureService(
    name="departure_delay_v1",
    features=[airport_weather, airport_delays],
    description="Predicts, when a flight is due to leave, how late it will.",
    owner="operations",
)
