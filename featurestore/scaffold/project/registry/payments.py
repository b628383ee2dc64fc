"""Card payments: whose features, from which files, over which stretch of the past."""

from featurestore import Entity, FeatureView, ParquetSource, agg, latest

customer = Entity(name="customer", join_keys=["customer_id"])
merchant = Entity(name="merchant", join_keys=["merchant_id"])

payments = ParquetSource(
    name="payments",
    path="data/payments/*.parquet",
    event_timestamp="paid_at",  # when it happened
    created_timestamp="loaded_at",  # when it could first be known
    row_key=["payment_id"],  # rows of one payment are versions of it: corrections, moves, deletions
    deleted="is_deleted",
)

merchants = ParquetSource(
    name="merchants",
    path="data/merchants.parquet",
    event_timestamp="valid_from",
    delay="1h",  # the feed is an hour behind
)

card_payments = FeatureView(
    name="card_payments",
    entities=[customer],
    source=payments,
    where="status = 'settled'",
    ttl="90d",
    features=[
        latest("card_country"),
        agg.count(window="1h"),
        agg.sum("amount", window=["1d", "7d", "30d"]),
        agg.count_distinct("merchant_id", window="30d"),
    ],
    description="How a customer pays: where last, how often, how much.",
)

merchant_profile = FeatureView(
    name="merchant_profile",
    entities=[merchant],
    source=merchants,
    features=[latest("category"), latest("risk_score")],
    description="Who the merchant is, and how risky.",
)
