"""Fill the online store: idempotent runs that bring each view to a new watermark, and what keeps the store in order."""

from featurestore.materialization.report import ViewReport
from featurestore.materialization.run import KEEP, materialize

__all__ = ["KEEP", "ViewReport", "materialize"]
