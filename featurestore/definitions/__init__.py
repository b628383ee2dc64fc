"""What users write: frozen, keyword-only definitions, checked at birth. No I/O, no SQL."""

from featurestore.definitions.aggregation import AGGREGATES, Feature, agg, latest
from featurestore.definitions.base import Definition
from featurestore.definitions.entity import Entity
from featurestore.definitions.expectations import Expectation, expect
from featurestore.definitions.label import LabelView
from featurestore.definitions.on_demand import OnDemandFeatureView, OnDemandInstance
from featurestore.definitions.postgres import PostgresSource
from featurestore.definitions.service import FeatureService
from featurestore.definitions.source import ArrowSource, ParquetSource, Source
from featurestore.definitions.tables import DeltaSource, IcebergSource
from featurestore.definitions.view import FeatureView, View, ViewInstance

__all__ = [
    "AGGREGATES", "ArrowSource", "Definition", "DeltaSource", "Entity", "Expectation", "Feature", "FeatureService",
    "FeatureView", "IcebergSource", "LabelView", "OnDemandFeatureView", "OnDemandInstance", "ParquetSource", "PostgresSource",
    "Source", "View", "ViewInstance", "agg", "expect", "latest",
]  # fmt: skip
