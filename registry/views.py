"""The features, view by view: of which entity, from which source, over which stretch of the past."""

from featurestore import FeatureView, OnDemandFeatureView, agg, latest

from .entities import card, customer, merchant
from .sources import cards, customers, disputes, merchants, payments, policies

card_payments = FeatureView(
    name="card_payments",
    entities=[customer],
    source=payments,
    where="status = 'settled'",
    ttl="90d",
    features=[
        latest("card_country"),
        latest("city", name="last_city"),
        latest("amount", name="last_amount"),
        agg.count(window=["1h", "1d", "30d"]),
        agg.sum("amount", window=["1d", "7d", "30d"]),
        agg.count_distinct("merchant_id", window="30d"),
        agg.count(window="30d", where="amount > 500", name="large_count_30d"),
        agg.count(window="30d", where="hour(paid_at) < 6", name="night_count_30d"),
        agg.sum("amount", window=None),
    ],
    description="How a customer pays: where last, how often, how much. A voided payment goes when that is known.",
    owner="fraud",
    tags={"tier": "critical"},
)

customer_profile = FeatureView(
    name="customer_profile",
    entities=[customer],
    source=customers,
    features=[
        latest("segment"),
        latest("home_country"),
        latest("credit_limit"),
        latest("customer_since"),
    ],
    description="The customer's profile as the bank knew it at the time.",
    owner="customer-data",
)

merchant_profile = FeatureView(
    name="merchant_profile",
    entities=[merchant],
    source=merchants,
    ttl="365d",
    features=[
        latest("name", name="merchant_name"),
        latest("category", name="merchant_category"),
        latest("risk_score"),
        latest("category in ('gambling', 'travel')", name="is_sensitive"),
    ],
    description="Who the merchant is and how risky it is thought to be. A score withdrawn is NULL, not the old one.",
    owner="merchant-data",
)

merchant_activity = FeatureView(
    name="merchant_activity",
    entities=[merchant],
    source=payments,
    where="status = 'settled' and amount > 0",
    features=[
        agg.count(window=["1d", "7d"]),
        agg.sum("amount", window="7d"),
        agg.sum("amount", window="7d", offset="7d"),
        agg.count_distinct("customer_id", window="7d"),
    ],
    description="The merchant's trade this week beside the week before. Refunds are left out.",
    owner="fraud",
)

merchant_chargebacks = FeatureView(
    name="merchant_chargebacks",
    entities=[merchant],
    source=disputes,
    features=[
        agg.count(window=["30d", "90d"]),
        agg.sum("amount", window="90d"),
        agg.count(window="90d", where="starts_with(reason, 'fraud')", name="fraud_count_90d"),
        latest("reason", name="last_reason"),
    ],
    description="Disputes against the merchant, as far as they had been reported.",
    owner="disputes-desk",
    tags={"tier": "critical"},
)

customer_at_merchant = FeatureView(
    name="customer_at_merchant",
    entities=[customer, merchant],
    source=payments,
    where="status <> 'void'",
    ttl="365d",
    features=[
        latest("amount", name="last_amount_here"),
        agg.count(window=None, name="visits"),
        agg.sum("amount", window="30d", name="spent_here_30d"),
    ],
    description="Has this customer been at this merchant before? Pending payments count as visits.",
    owner="fraud",
)

card_details = FeatureView(
    name="card_details",
    entities=[card],
    source=cards,
    features=[
        latest("network"),
        latest("product"),
        latest("issuer_country"),
        latest("contactless"),
    ],
    description="What kind of card it is.",
    owner="cards",
)

review_policy = FeatureView(
    name="review_policy",
    entities=[],
    source=policies,
    allow_exact_matches=True,
    features=[latest("review_from"), latest("rule_set")],
    description="The review rule in force, the same for everyone; it holds from the very instant it takes effect.",
    owner="risk",
)

payment_vs_usual = OnDemandFeatureView(
    name="payment_vs_usual",
    inputs=[card_payments, customer_profile],
    request={"amount": "double"},
    features={
        "amount_to_usual_30d": "amount * count_30d / nullif(amount_sum_30d, 0)",
        "share_of_limit": "amount / nullif(credit_limit, 0)",
    },
    description="The payment being scored beside what the customer usually pays, and beside the credit limit.",
    owner="fraud",
    tags={"tier": "critical"},
)
