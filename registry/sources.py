"""Where the facts come from, and when each of them could first be known.

The files are made by `python -m featurestore.scaffold.generate --output data`.
"""

from featurestore import ParquetSource

payments = ParquetSource(
    name="payments",
    path="data/payments/*.parquet",
    event_timestamp="paid_at",
    created_timestamp="loaded_at",
    row_key=["payment_id"],
    deleted="is_deleted",
    description=(
        "Card payments, a file per month of arrival. One in ten arrives hours to weeks late. Rows of one payment_id "
        "are versions: a correction may void a payment, amend it, move it to another customer or time, or delete it."
    ),
    owner="payments-platform",
    tags={"pii": "yes", "refresh": "every minute"},
)

disputes = ParquetSource(
    name="disputes",
    path="data/disputes.parquet",
    event_timestamp="disputed_at",
    created_timestamp="reported_at",
    description="Chargebacks. The card scheme reports a dispute hours to days after the cardholder raised it.",
    owner="disputes-desk",
    tags={"pii": "yes", "refresh": "daily"},
)

merchants = ParquetSource(
    name="merchants",
    path="data/merchants.parquet",
    event_timestamp="valid_from",
    delay="1h",
    description="Merchant profiles, a row per change. The feed carries no load time; it is an hour behind at most.",
    owner="merchant-data",
    tags={"refresh": "hourly"},
)

customers = ParquetSource(
    name="customers",
    path="data/customers.parquet",
    event_timestamp="updated_at",
    created_timestamp="loaded_at",
    row_key=["customer_id"],
    row_order="version",
    deleted="is_closed",
    description=(
        "Customer profiles as a change feed: the highest version known is the profile, in whatever order versions "
        "arrive. Closing the account deletes it."
    ),
    owner="customer-data",
    tags={"pii": "yes", "refresh": "hourly"},
)

cards = ParquetSource(
    name="cards",
    path="data/cards.parquet",
    static=True,
    description="The card master file. None of its columns ever changes for a card, so it needs no history.",
    owner="cards",
)

policies = ParquetSource(
    name="policies",
    path="data/policies.parquet",
    event_timestamp="effective_from",
    delay="0s",
    description="The bank's review rules, published before they take effect.",
    owner="risk",
)
