"""What the models are to predict: built from what happened after a row's instant, never served."""

from featurestore import LabelView, agg

from .entities import customer, merchant
from .sources import disputes

chargeback_30d = LabelView(
    name="chargeback_30d",
    entities=[customer, merchant],
    source=disputes,
    label=agg.count(window="30d", name="chargebacks_30d"),
    settle="10d",
    description=(
        "Disputes that this customer raises against this merchant within 30 days of the payment. The scheme reports a "
        "dispute up to ten days after it was raised."
    ),
    owner="disputes-desk",
)
