"""Fill the online store: idempotent runs, generations, watermarks."""

from featurestore.materialization.generations import Generation, served_services
from featurestore.materialization.run import ViewReport, materialize

__all__ = ["Generation", "ViewReport", "materialize", "served_services"]
