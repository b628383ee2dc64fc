"""The profile of a view as the online store answers it: the values at the watermark of some keys, told by their hash.

The keys with the lowest hashes are the same ones in every generation, as long as they are there, so profiles of different
watermarks differ by what has changed, not by whom they are of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.online.codec import is_digest, parted
from featurestore.online.generations import Generation, generation
from featurestore.online.store import OnlineStore, Snapshot
from featurestore.profiles import Collector, Profile
from featurestore.profiles.collector import STATUSES
from featurestore.profiles.distinct import of_array
from featurestore.retrieval.online_view import Answer, View

AT_ONCE = 65_536
MOST_KEYS, MOST_BYTES = 2_000_000, 1_000_000_000
"""Of so many records, or bytes of them, the keys are looked for; those that come after in the order of keys are left out."""

Row = tuple[bytes, bytes]


def profile_of_view(store: OnlineStore, view: str, fingerprint: str, keys: int) -> Profile | None:
    """The profile of a view's live generation, of at most so many keys; None if there is none. Its instants are the watermark.

    Rows that were pushed since are not looked at. Raises: StoreError, Moved.
    """
    with store.read() as snapshot:
        made = generation(snapshot, view, fingerprint)
        if made is None:
            return None
        reader = View(_whole(made), made)
        answers = [reader.answer(_record(row), made.watermark) for row in _lowest(snapshot, made.table, keys)]
    return _profile(reader, answers, made.watermark)


def _whole(made: Generation) -> Mapping[str, Any]:
    """The view with all of its features under their own names, as a service would use it."""
    keys = [[key["name"], key["name"]] for key in made.view["keys"]]
    return {"name": made.name, "keys": keys, "features": [[f["name"], f["name"]] for f in made.view["features"]]}


def _record(row: Row) -> bytes | memoryview:
    key, stored = row
    return parted(stored)[0] if is_digest(key) else stored


def _lowest(snapshot: Snapshot, table: str, most: int) -> list[Row]:
    """The records of the keys whose hashes are lowest, in their order."""
    rows: list[Row] = []
    hashes = np.empty(0, np.uint64)
    for chunk in _chunks(snapshot, table):
        found = of_array(pa.array([key for key, _ in chunk], pa.binary()))
        near = np.flatnonzero(found <= hashes[-1]) if len(hashes) == most else np.arange(len(found))
        rows += [chunk[place] for place in near.tolist()]
        hashes = np.concatenate((hashes, found[near]))
        order = np.argsort(hashes, kind="stable")[:most]
        rows, hashes = [rows[place] for place in order.tolist()], hashes[order]
    return rows


def _chunks(snapshot: Snapshot, table: str) -> Iterator[list[Row]]:
    stream, seen, size = snapshot.scan(table), 0, 0
    while seen < MOST_KEYS and size < MOST_BYTES and (chunk := list(islice(stream, AT_ONCE))):
        yield chunk
        seen += len(chunk)
        size += sum(len(record) for _, record in chunk)


def _profile(reader: View, answers: list[Answer], at: int) -> Profile:
    names = reader.feature_names
    types = dict(zip(names, (dtype.arrow for dtype in reader.feature_types), strict=True))
    statuses = [reader.statuses(answer) for answer in answers]
    columns = {}
    for place, (name, dtype) in enumerate(zip(names, reader.feature_types, strict=True)):
        values = [answer[0][place] for answer in answers]
        stored = pa.array(values, pa.int64()) if dtype.is_timestamp else pa.array(values, dtype.arrow)
        columns[name] = stored.cast(dtype.arrow)
    codes = {name: pa.array([STATUSES.index(of[place]) for of in statuses], pa.int8()) for place, name in enumerate(names)}
    collector = Collector(types, status_of={name: name for name in names})
    collector.add(pa.table(columns), pa.array([at] * len(answers), pa.int64()), codes)
    return collector.profile()


__all__ = ["profile_of_view"]
