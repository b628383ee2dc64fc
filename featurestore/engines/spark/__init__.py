"""The Spark engine: runs compiled SQL on a local, cluster or Connect session; nothing of the data reaches the driver."""

from featurestore.engines.spark.session import Session
from featurestore.engines.spark.settings import SparkSettings

__all__ = ["Session", "SparkSettings"]
