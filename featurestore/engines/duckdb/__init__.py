"""The DuckDB engine: runs compiled SQL, one connection per task."""

from featurestore.engines.duckdb.session import Session, Settings, errors, scratch_folder

__all__ = ["Session", "Settings", "errors", "scratch_folder"]
