"""featurestore: point-in-time correct features, offline and online, from one definition.

>>> from featurestore import Entity, ParquetSource, FeatureView, FeatureService, FeatureStore, agg, latest

Names are imported when first used: `featurestore --help` must not pay for Arrow, nor definitions for the engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featurestore.client import AsyncClient, Client
    from featurestore.definitions import (
        ArrowSource,
        DeltaSource,
        Entity,
        FeatureService,
        FeatureView,
        IcebergSource,
        LabelView,
        OnDemandFeatureView,
        ParquetSource,
        PostgresSource,
        agg,
        expect,
        latest,
    )
    from featurestore.errors import DataError, DefinitionError, FeatureStoreError, StoreError, UsageError
    from featurestore.retrieval.splits import Split
    from featurestore.store import FeatureStore

__version__ = "0.1.0"
__all__ = [
    "ArrowSource", "AsyncClient", "Client", "DataError", "DefinitionError", "DeltaSource", "Entity", "FeatureService",
    "FeatureStore", "FeatureStoreError", "FeatureView", "IcebergSource", "LabelView", "OnDemandFeatureView", "ParquetSource",
    "PostgresSource", "Split", "StoreError", "UsageError", "agg", "expect", "latest",
]  # fmt: skip

_ELSEWHERE = {
    "AsyncClient": "featurestore.client",
    "Client": "featurestore.client",
    "FeatureStore": "featurestore.store",
    "Split": "featurestore.retrieval.splits",
} | dict.fromkeys(("DataError", "DefinitionError", "FeatureStoreError", "StoreError", "UsageError"), "featurestore.errors")
"""Where a public name lives, unless among the definitions."""


def __getattr__(name: str) -> object:
    """A public name, imported from where it lives and kept (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'featurestore' has no attribute {name!r}")
    value = getattr(import_module(_ELSEWHERE.get(name, "featurestore.definitions")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
