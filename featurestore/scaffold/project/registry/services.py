"""What each model reads, in order."""

from featurestore import FeatureService

from .payments import card_payments, merchant_profile

fraud_v1 = FeatureService(
    name="fraud_v1",
    features=[card_payments, merchant_profile],
    description="Scores a card payment while the customer waits.",
)
