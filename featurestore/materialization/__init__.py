"""Fill the online store: idempotent runs that bring each view to a new watermark."""

from featurestore.materialization.run import ViewReport, materialize

__all__ = ["ViewReport", "materialize"]
