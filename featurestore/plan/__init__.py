"""What a request means, in no dialect."""

from featurestore.plan.build import facts_read, label, online_state, training_set
from featurestore.plan.explain import explain, read_from
from featurestore.plan.nodes import OnlineState, TrainingSet, asked_at_once, with_pushed

__all__ = [
    "OnlineState", "TrainingSet", "asked_at_once", "explain", "facts_read", "label", "online_state", "read_from",
    "training_set", "with_pushed",
]  # fmt: skip
