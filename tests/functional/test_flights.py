"""The flights example on the real data: the honest features are what was known, and the leak looks better."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from tests.functional.examples import load

LAST, MEAN, LEAK = range(3)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return load("flights")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, real_data: Path) -> None:
    monkeypatch.setenv("FEATURESTORE_DATA", str(real_data))


def test_the_leak_correlates_better_than_anything_that_could_be_known(
    example: ModuleType, real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = list(example.main(real_data).values())
    assert [round(value, 3) for value in found] == [0.276, 0.369, 0.615]
    printed = capsys.readouterr().out
    assert "100,000 flights" in printed
    assert all(f"{value:.3f}  █" in printed for value in found)


def test_the_latest_departed_flight_is_what_an_as_of_join_by_hand_finds(example: ModuleType, real_data: Path) -> None:
    flights = pl.read_parquet(real_data / "nycflights_flights.parquet")
    departed = flights.drop_nulls("departed_at").sort("departed_at", "dep_delay")
    asked = flights.sort("sched_dep_at").select("flight_id", "origin", "sched_dep_at")
    expected = asked.join_asof(
        departed.select("origin", "departed_at", by_hand="dep_delay"),
        left_on="sched_dep_at", right_on="departed_at", by="origin", allow_exact_matches=False, check_sortedness=False,
    )  # fmt: skip
    got = example.with_features(flights, real_data).select("flight_id", "last_delay")
    both = expected.join(got, on="flight_id", validate="1:1")
    assert both.height == flights.height
    assert both.filter(pl.col("by_hand").ne_missing(pl.col("last_delay"))).is_empty()


def test_rows_and_their_order_are_the_flights_own(example: ModuleType, real_data: Path) -> None:
    flights = pl.read_parquet(real_data / "nycflights_flights.parquet")
    got = example.with_features(flights, real_data)
    assert got["flight_id"].to_list() == flights["flight_id"].to_list()
