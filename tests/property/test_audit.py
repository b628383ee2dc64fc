"""`audit` finds exact what the oracle says, and nothing else, whatever sources and definitions are."""

from __future__ import annotations

from random import Random
from typing import Any

import pyarrow as pa
import pytest

from featurestore import FeatureStore
from featurestore.definitions import FeatureService
from featurestore.engines.reference import ReferenceEngine
from featurestore.testing.strategies import KINDS, World, world
from tests.property import files
from tests.property.daily import daily
from tests.property.engines import bits
from tests.property.files import File, Layout

CASES = 25
ONE_FILE = Layout((File("pyarrow", "us", "string", 10_000),), "timestamp", False, {})
NOBODYS = {pa.float64(): 1.2345e300, pa.string(): "nobody's", pa.int64(): -(10**17) - 7}
"""Values that no generated fact has, and no aggregate of them."""


class Audited:
    """A generated world in memory: its store, its spine, and what the oracle says."""

    def __init__(self, kind: str, seed: int = 0) -> None:
        self.rng = Random(f"audit {kind} {seed}")
        self.world: World = world(self.rng, kind, CASES)
        definition = self.world.definition
        [table] = files.tables_of(self.rng, self.world.rows, definition, definition.source_columns, ONE_FILE)
        self.service: FeatureService = definition.service(table=table)
        self.store = FeatureStore(definitions=[self.service])
        self.engine = ReferenceEngine({"facts": [table]})
        self.spine = self.asked(0)

    def asked(self, later: int) -> pa.Table:
        rows = [{**row, "as_of": row["as_of"] + later} for row in self.world.spine]
        types = self.world.definition.spine_types
        return pa.table({name: files.spine_column([row[name] for row in rows], kind) for name, kind in types.items()})

    def told(self, spine: pa.Table) -> pa.Table:
        """The oracle's features, beside the spine that is audited."""
        found = self.engine.answer(self.service, spine).to_arrow()
        return pa.table({**dict(zip(self.spine.column_names, self.spine.columns, strict=True)),
                         **{name: found[name] for name in self.service.feature_names}})  # fmt: skip

    def audit(self, table: pa.Table) -> Any:
        return self.store.audit(table, self.service, tolerance=1e-9)


@pytest.mark.parametrize("kind", daily(KINDS, "created", "static"))
def test_what_the_oracle_says_is_exact_and_what_it_says_of_other_instants_is_not(kind: str) -> None:
    drawn = Audited(kind)
    honest = drawn.told(drawn.spine)
    found = drawn.audit(honest)
    assert found.ok, (found.causes(), found.examples[:3])
    span = 3 * max(drawn.world.serving_lag, 1)
    later = span if kind in ("at_once", "created", "versions_deleted") else -span
    other = drawn.told(drawn.asked(later))
    found = drawn.audit(other)
    for name in drawn.service.feature_names:
        causes = found.features[name].causes
        assert sum(causes.values()) == honest.num_rows
        if pa.types.is_primitive(honest.schema.field(name).type) and not rounds(drawn.service, name):
            same = [a == b for a, b in zip(plain(honest[name]), plain(other[name]), strict=True)]
            assert causes["exact"] == sum(same), (name, later)


def rounds(service: FeatureService, name: str) -> bool:
    """Whether two values of a feature may be one although their bits are not."""
    features = {out: feature for i in service.listed for out, feature in i.features}
    return name not in features or features[name].aggregate in ("stddev_samp", "stddev_pop", "var_samp", "var_pop")


def plain(column: pa.ChunkedArray) -> list[Any]:
    """Comparable values; in files of others NaN stands for NULL too."""
    floats = pa.types.is_floating(column.type)
    [values] = bits(pa.table({"x": column})).to_pydict().values()
    return [None if floats and one != one else value for one, value in zip(column.to_pylist(), values, strict=True)]


@pytest.mark.parametrize("kind", daily(("at_once", "created", "versions"), "at_once"))
def test_a_value_of_nobody_is_unexplained_and_never_a_leak(kind: str) -> None:
    planted = 0
    for seed in range(3):
        drawn = Audited(kind, seed)
        honest = drawn.told(drawn.spine)
        for name in drawn.service.feature_names:
            nobodys = NOBODYS.get(honest.schema.field(name).type)
            if nobodys is None:
                continue
            values = honest[name].to_pylist()
            rows = drawn.rng.sample(range(len(values)), 5)
            for row in rows:
                values[row] = nobodys
            at = honest.column_names.index(name)
            bad = honest.set_column(at, name, pa.array(values, honest.schema.field(name).type))
            found = drawn.audit(bad)
            assert found.features[name].causes == {"exact": len(values) - 5, "unexplained": 5}
            assert found.leaks == 0
            planted += 5
            break
    assert planted
