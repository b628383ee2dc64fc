"""Which keys hold so much of the data that one task would still work on them when all others are done, and where their
timelines are cut."""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.compiler.spark.heavy import cuts
from featurestore.compiler.spark.skew import HEAVY
from featurestore.engines.spark.session import Session
from featurestore.plan.nodes import Latest, Window

LEAST_ROWS = 1_000_000
"""A timeline of fewer rows is no burden for one task, whatever its share."""
SHARE = 0.05
"""Of all facts and spine rows: what one key must hold to be cut."""


def heavy_keys(session: Session, plan: Latest | Window, parameters: Mapping[str, object], rows: int) -> bool:
    """Find the heavy keys of a part whose relations are bound, and bind the relation `heavy_keys`, if there are any.

    rows: of the spine and the source, at most; where they are few nothing is counted.
    """
    least = max(LEAST_ROWS, int(SHARE * rows))
    if rows < least:
        return False
    session.keep(HEAVY, cuts(plan), {**parameters, "least": least, "stretch": least // 2})
    return session.count(HEAVY) > 0
