"""The online retail example on the real data: its features are those a slow query by hand finds, its labels lie after them."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from tests.functional.examples import load


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return load("online_retail")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, real_data: Path) -> None:
    monkeypatch.setenv("FEATURESTORE_DATA", str(real_data))


def test_who_bought_lately_often_and_for_much_comes_back(
    example: ModuleType, real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = example.main(real_data)
    assert [round(share, 3) for share in found["recency_us"]] == [0.408, 0.37, 0.293, 0.208, 0.127]
    assert found["recency_us"] == sorted(found["recency_us"], reverse=True)
    assert found["monetary_90d"] == sorted(found["monetary_90d"])
    assert "39,348 questions about 4,372 customers, 24,301 with a mature label" in capsys.readouterr().out


def test_features_and_labels_are_what_a_query_by_hand_finds(example: ModuleType, real_data: Path) -> None:
    table = example.training_set(real_data)
    lines = pl.read_parquet(real_data / "online_retail.parquet")
    lines = lines.filter(~pl.col("invoice_no").str.starts_with("C") & (pl.col("unit_price") > 0))
    last = pl.read_parquet(real_data / "online_retail.parquet", columns=["invoiced_at"])["invoiced_at"].max()
    for row in table.gather_every(997).to_dicts():
        t, mine = row["as_of"], lines.filter(pl.col("customer_id") == row["customer_id"])
        past = mine.filter(pl.col("invoiced_at") < t)
        quarter = past.filter(pl.col("invoiced_at") >= t - timedelta(days=90))
        newest = past["invoiced_at"].max()
        assert row["recency_us"] == (None if newest is None else (t - newest) // timedelta(microseconds=1))
        assert row["frequency_90d"] == quarter["invoice_no"].n_unique()
        worth = [q * p for q, p in zip(quarter["quantity"], quarter["unit_price"], strict=True)]
        assert row["monetary_90d"] == (math.fsum(worth) if worth else None)
        assert len(row["stock_code_last_k_3_90d"]) == min(3, quarter.height)
        ahead = mine.filter(pl.col("invoiced_at").is_between(t, t + timedelta(days=30), closed="left"))
        mature = t + timedelta(days=30) <= last
        assert row["invoices_next_30d"] == (ahead["invoice_no"].n_unique() if mature else None)
