"""Who comes back? Recency, frequency and monetary value of customers at the start of each month, and what they then did.

    python examples/online_retail/run.py [FOLDER]

FOLDER holds online_retail.parquet; by default $FEATURESTORE_DATA, else ../shared/data beside the repository.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from featurestore import FeatureStore

HERE = Path(__file__).resolve().parent
DEFAULT_DATA = HERE.parents[1].parent / "shared" / "data"
MONTHS = [datetime(2011, month, 1, tzinfo=UTC) for month in range(4, 13)]
DAY = 86_400 * 10**6


def main(data: Path) -> dict[str, list[float]]:
    """Print, fifth by fifth of the customers, the share that bought again within thirty days; return it by feature."""
    table = training_set(data)
    mature = table.drop_nulls("invoices_next_30d").filter(pl.col("recency_us").is_not_null())
    customers = table["customer_id"].n_unique()
    print(f"{table.height:,} questions about {customers:,} customers, {mature.height:,} with a mature label\n")
    found = {name: shares(mature, name) for name in ("recency_us", "frequency_90d", "monetary_90d")}
    for name, fifths in found.items():
        print(f"share that bought again, by fifths of {name} from the least to the greatest")
        for share in fifths:
            print(f"  {share:5.1%}  {bar(share)}")
        print()
    return found


def training_set(data: Path) -> pl.DataFrame:
    """Every customer at the start of every month: the spine has keys and as_of alone, the label comes with the service."""
    os.environ["FEATURESTORE_DATA"] = str(data)  # registry/retail.py finds its file by it
    customers = (
        pl.read_parquet(data / "online_retail.parquet", columns=["customer_id"]).drop_nulls().unique().sort("customer_id")
    )
    spine = customers.join(pl.DataFrame({"as_of": MONTHS}), how="cross")
    return pl.DataFrame(FeatureStore(HERE).build_training_set("come_back_v1", spine))


def shares(table: pl.DataFrame, feature: str) -> list[float]:
    """The share of rows with an invoice in the next thirty days, per fifth of the feature (no purchase in 90 days: 0)."""
    ranked = table.with_columns(place=pl.col(feature).fill_null(0).rank("ordinal"), back=pl.col("invoices_next_30d") > 0)
    fifths = ranked.with_columns(fifth=(5 * (pl.col("place") - 1) // pl.len()))
    return fifths.group_by("fifth").agg(pl.col("back").mean()).sort("fifth")["back"].to_list()


def bar(value: float, width: int = 50) -> str:
    return "█" * round(value * width)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FEATURESTORE_DATA") or DEFAULT_DATA).resolve())
