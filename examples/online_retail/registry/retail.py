"""Recency, frequency and monetary value of a customer at any instant, and whether they come back within a month."""

import os
from pathlib import Path

from featurestore import Entity, FeatureService, FeatureView, LabelView, ParquetSource, agg

REPOSITORY = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("FEATURESTORE_DATA") or REPOSITORY.parent / "shared" / "data")
SOLD = "NOT starts_with(invoice_no, 'C') AND unit_price > 0"

customer = Entity(name="customer", join_keys=["customer_id"])

invoices = ParquetSource(
    name="invoices",
    path=str(DATA / "online_retail.parquet"),
    event_timestamp="invoiced_at",
    delay="0s",
    description="One row per invoice line, to the minute. A quarter has no customer; invoices C… cancel others.",
)

rfm = FeatureView(
    name="rfm",
    entities=[customer],
    source=invoices,
    where=SOLD,
    features=[
        agg.time_since_last(window=None, name="recency_us"),
        agg.count_distinct("invoice_no", window="90d", name="frequency_90d"),
        agg.sum("quantity * unit_price", window="90d", name="monetary_90d"),
        agg.mean("unit_price", window="90d"),
        agg.last_k("stock_code", k=3, window="90d"),
    ],
    description="How long ago, how often and for how much a customer bought, as known when asked.",
)

returns_30d = LabelView(
    name="returns_30d",
    entities=[customer],
    source=invoices,
    where=SOLD,
    label=agg.count_distinct("invoice_no", window="30d", name="invoices_next_30d"),
    description="The invoices of the thirty days after the question: the label. Nothing of them is in a feature.",
)

come_back_v1 = FeatureService(name="come_back_v1", features=[rfm], labels=[returns_30d])
