"""What every dialect says of facts in the same words: names of relations, joins on keys, and which sources are simple."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.definitions import Source
from featurestore.plan.nodes import Settled, Visible, chain_of

SOURCE_PREFIX, NUMBERED_PREFIX = "source__", "numbered__"
FILE, ROW = "__file", "__row"
"""The number of the part a row lies in, and the row's number in that."""


def relation(source: Source) -> str:
    """The name under which an engine binds the rows of a source: times with a zone, all else as stored."""
    return f"{SOURCE_PREFIX}{source.name}"


def numbered(source: Source) -> str:
    """The name of the same relation with FILE and ROW beside each row."""
    return f"{NUMBERED_PREFIX}{source.name}"


def on_keys(left: str, right: str, keys: Sequence[str]) -> str:
    return " AND ".join(f"{left}.{key} = {right}.{key}" for key in keys)


def not_null(columns: Sequence[str]) -> str:
    return " AND ".join(f"{c} IS NOT NULL" for c in columns)


def is_simple(visible: Visible | Settled) -> bool:
    """Known time is event time plus a constant, and rows are no versions: the cheap plans serve. So it is of what is
    settled, where every fact counts as it happens."""
    facts, versions, _ = chain_of(visible)
    return isinstance(visible, Settled) or (versions is None and facts.rows.source.created_timestamp is None)


def known_delay(visible: Visible | Settled) -> int:
    """How long after its event a fact of a simple source becomes visible, without a serving lag, in microseconds."""
    return 0 if isinstance(visible, Settled) else chain_of(visible)[0].rows.source.known_delay.micros


def visible_from(boundary: Visible | Settled) -> str:
    """The instant from which a fact counts: when it has happened and is known; what is settled counts as it happens."""
    if isinstance(boundary, Settled):
        return "event_time"
    return "known_time" if is_simple(boundary) else "greatest(event_time, known_time)"
