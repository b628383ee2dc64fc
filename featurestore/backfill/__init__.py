"""A view's feature values at regular instants, as files: what is up to date is left alone.

`asked` are the instants; `folder` is what lies there and how it changes; `late` finds what rows that came since touch; `making`
computes an instant; `run` puts them together.
"""

from featurestore.backfill.asked import Asked
from featurestore.backfill.report import UNCHANGED, WRITTEN, Backfilled, Partition
from featurestore.backfill.run import Project, backfill, check_view

__all__ = ["UNCHANGED", "WRITTEN", "Asked", "Backfilled", "Partition", "Project", "backfill", "check_view"]
