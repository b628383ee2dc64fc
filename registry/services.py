"""What each model reads, in order. Changing a service here changes what is trained and what is served."""

from featurestore import FeatureService

from .labels import chargeback_30d
from .views import (
    card_details,
    card_payments,
    customer_at_merchant,
    customer_profile,
    merchant_activity,
    merchant_chargebacks,
    merchant_profile,
    payment_vs_usual,
    review_policy,
)

fraud_v1 = FeatureService(
    name="fraud_v1",
    features=[
        card_payments,
        customer_profile[["segment", "credit_limit"]],
        merchant_profile[["merchant_category", "risk_score"]],
        merchant_activity.with_prefix("merchant_"),
        card_details[["network", "product", "issuer_country"]],
        payment_vs_usual,
    ],
    labels=[chargeback_30d],
    description="Scores a card payment while the customer waits.",
    owner="fraud",
    tags={"model": "fraud", "tier": "critical"},
)

referral_v1 = FeatureService(
    name="referral_v1",
    features=[
        card_payments[["count_30d", "amount_sum_30d", "merchant_id_count_distinct_30d"]],
        card_payments[["count_30d", "amount_sum_30d", "card_country"]]
        .alias("referrer_payments")
        .with_join_key_map({"customer_id": "referrer_id"})
        .with_prefix("referrer_"),
        customer_profile,
        customer_profile[["segment", "customer_since"]]
        .alias("referrer_profile")
        .with_join_key_map({"customer_id": "referrer_id"})
        .with_prefix("referrer_"),
    ],
    description="Is a referral bonus earned or farmed? The same views, for the customer and the recruiter.",
    owner="growth",
    tags={"model": "referral"},
)

dispute_desk_v1 = FeatureService(
    name="dispute_desk_v1",
    features=[
        customer_at_merchant,
        merchant_chargebacks.with_prefix("disputes_"),
        merchant_profile,
        review_policy,
    ],
    description="Ranks the payments that a person should look at.",
    owner="disputes-desk",
    tags={"model": "dispute-desk"},
)
