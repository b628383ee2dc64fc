"""featurestore: point-in-time correct features, offline and online, from one definition.

>>> from featurestore import Entity, ParquetSource, FeatureView, FeatureService, FeatureStore, agg, latest
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.definitions import (
    ArrowSource,
    Entity,
    FeatureService,
    FeatureView,
    ParquetSource,
    agg,
    latest,
)
from featurestore.errors import DataError, DefinitionError, FeatureStoreError, StoreError, UsageError

if TYPE_CHECKING:
    from featurestore.store import FeatureStore

__version__ = "0.1.0"
__all__ = [
    "ArrowSource", "DataError", "DefinitionError", "Entity", "FeatureService", "FeatureStore", "FeatureStoreError",
    "FeatureView", "ParquetSource", "StoreError", "UsageError", "agg", "latest",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """FeatureStore is imported when first named: definitions alone must not pay for the engine."""
    if name == "FeatureStore":
        from featurestore.store import FeatureStore

        return FeatureStore
    raise AttributeError(f"module 'featurestore' has no attribute {name!r}")
