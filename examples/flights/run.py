"""Two ways to tell how late a flight will leave: one from what was known, one that looks into the future.

    python examples/flights/run.py [FOLDER]

FOLDER holds nycflights_flights.parquet; by default $FEATURESTORE_DATA, else ../shared/data beside the repository.
"""

import os
import sys
from pathlib import Path

import polars as pl

from featurestore import FeatureStore

HERE = Path(__file__).resolve().parent
DEFAULT_DATA = HERE.parents[1].parent / "shared" / "data"


def main(data: Path) -> dict[str, float]:
    """Print the correlation of each predictor with the delay it is to predict, and return them by name."""
    flights = pl.read_parquet(data / "nycflights_flights.parquet")
    table = with_features(flights, data)
    found = {
        "honest: the latest departed flight": correlation(table, "last_delay"),
        "honest: mean of those departed in 2 h": correlation(table, "dep_delay_mean_2h"),
        "LEAK:   mean of the same origin and hour": correlation(with_leak(flights), "leaky_mean"),
    }
    print(f"{table.height:,} flights; correlation with the flight's own delay at departure\n")
    for name, value in found.items():
        print(f"{name:<42}{value:6.3f}  {bar(value)}")
    print("\nThe leak looks best: it averages the flight itself and flights that had not left. No one could have known.")
    return found


def with_features(flights: pl.DataFrame, data: Path) -> pl.DataFrame:
    """The flights with the service's features, each as known when that flight was due to leave."""
    os.environ["FEATURESTORE_DATA"] = str(data)  # registry/flights.py finds its file by it
    store = FeatureStore(HERE)
    spine = flights.select("flight_id", "origin", "sched_dep_at", "dep_delay")
    return pl.DataFrame(store.build_training_set("flight_delay_v1", spine, as_of="sched_dep_at"))


def with_leak(flights: pl.DataFrame) -> pl.DataFrame:
    """What is quickly written without a feature store: group by origin and clock hour, take the mean, join it back."""
    hour = pl.col("sched_dep_at").dt.truncate("1h")
    return flights.with_columns(leaky_mean=pl.col("dep_delay").mean().over("origin", hour))


def correlation(table: pl.DataFrame, predictor: str) -> float:
    """Pearson's, over the flights that left and have the predictor."""
    both = table.select(pl.col(predictor).cast(pl.Float64), pl.col("dep_delay")).filter(pl.col(predictor).is_finite())
    return float(both.drop_nulls().select(pl.corr(predictor, "dep_delay")).item())


def bar(value: float, width: int = 50) -> str:
    return "█" * round(abs(value) * width)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FEATURESTORE_DATA") or DEFAULT_DATA).resolve())
