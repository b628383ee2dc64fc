"""Whom and what the bank's features are about."""

from featurestore import Entity

customer = Entity(
    name="customer",
    join_keys=["customer_id"],
    description="A person with an account. Ids of customers taken over from another bank need all 64 bits.",
    owner="customer-data",
)

merchant = Entity(
    name="merchant",
    join_keys=["merchant_id"],
    description="A shop that takes cards. Ids are text and compare byte by byte: two spellings of é are two merchants.",
    owner="merchant-data",
)

card = Entity(
    name="card",
    join_keys=["card_id"],
    description="One plastic or virtual card; a customer may hold several.",
    owner="cards",
)
