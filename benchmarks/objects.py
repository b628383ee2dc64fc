"""Bytes from an object store: a narrow build over a wide file, beside all that the file holds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from data import Place
from figures import Figure
from measure import Case

ROOT = Path(__file__).resolve().parent.parent
ROWS, COLUMNS, SPINE = 1_000_000, 20, 100_000
GROUP = 25_000
UTC = pa.timestamp("us", "UTC")
FIRST = 1_700_000_000_000_000


class Narrow:
    """3 of 20 columns, over 10% of the time range, of an object behind moto's server on this machine. Windows alone are asked
    for: the newest fact may be of any age, so latest values look at all that was before."""

    def __init__(self, scale: float) -> None:
        self._rows, self._spine = int(ROWS * max(scale, 0.1)), int(SPINE * scale) + 1

    def measure(self) -> list[Figure]:
        from featurestore import Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, agg

        sys.path.append(str(ROOT))
        from tests.s3_server import S3Server

        with S3Server() as server:
            os.environ |= server.environment
            bucket = server.bucket()
            size = bucket.put("facts.parquet", self._facts(), row_group_size=GROUP)
            source = ParquetSource(name="facts", path=bucket.url("*.parquet"), event_timestamp="e", delay="0s")
            features = [agg.sum("v0", window="1h"), agg.max("v0", window="1h"), agg.count(window="1h")]
            view = FeatureView(name="view", entities=[Entity(name="key")], source=source, features=features)
            store, spine = FeatureStore(definitions=[FeatureService(name="service", features=[view])]), self._asked()
            with server.served.counted() as served:
                began = time.perf_counter()
                store.build_training_set("service", spine)
                took = time.perf_counter() - began
        detail = f"{served.bytes / 1e6:.1f} of {size / 1e6:.0f} MB in {len(served.requests)} requests, {took:.1f} s"
        return [Figure("objects", served.bytes / size, detail)]

    def _facts(self) -> pa.Table:
        draw = np.random.default_rng(7)
        columns = {f"v{n}": draw.random(self._rows) for n in range(COLUMNS - 2)}
        instants = pa.array(FIRST + np.arange(self._rows) * 1_000_000).cast(UTC)
        return pa.table({"key": draw.integers(0, 10_000, self._rows), "e": instants, **columns})

    def _asked(self) -> pa.Table:
        """Rows that ask from the middle on, for a tenth of the time less the window."""
        draw = np.random.default_rng(8)
        seconds = np.sort(draw.integers(3_600, max(self._rows // 10, 3_601), self._spine)) + self._rows // 2
        return pa.table({
            "key": draw.integers(0, 10_000, self._spine), "as_of": pa.array(FIRST + seconds * 1_000_000).cast(UTC),
        })  # fmt: skip


def narrow(place: Place) -> Case:
    return Narrow(place.scale)


CASES: Mapping[str, Callable[[Place], Case]] = {"objects": narrow}
