"""What a plan says a feature comes from is all that it comes from: shuffling any other column of a source moves no byte of it.

And no more than that: shuffling a column that is named moves some cell, but for those that decide only between rows that
are equal in all that comes before.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore import plan as planning
from featurestore.plan.lineage import Use, lineage
from featurestore.scaffold.generate import generate
from tests.needs import ROOT

SELDOM = {"ties", "version order", "row order", "deleted", "row key", "settled"}
"""Reasons that move a value only where rows are equal in much else, or are few; a label only when its time is cut off."""


@dataclass
class World:
    """The reference project over generated data, and what its training sets hold before anything is shuffled."""

    root: Path
    spine: pa.Table
    named: dict[str, dict[str, tuple[Use, ...]]]
    honest: dict[str, pa.Table]

    def build(self, service: str) -> pa.Table:
        return FeatureStore(self.root).build_training_set(service, self.spine)

    def services(self, source: str) -> list[str]:
        return [name for name, bound in FeatureStore(self.root).bound.services.items() if source in bound.sources]

    def moved(self, source: str) -> set[tuple[str, str]]:
        """(service, column) of all that is not as it was."""
        found = set()
        for service in self.services(source):
            now = self.build(service)
            found |= {(service, name) for name in self.named[service] if not now[name].equals(self.honest[service][name])}
        return found

    def uses(self, source: str, column: str) -> dict[tuple[str, str], set[str]]:
        """(service, column) that come from a source's column -> why."""
        found: dict[tuple[str, str], set[str]] = {}
        for service, columns in self.named.items():
            for name, uses in columns.items():
                why = {use.why for use in uses if (use.source, use.column) == (source, column)}
                if why:
                    found[service, name] = why
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("lineage")
    for name in ("registry", "sql"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "featurestore.toml", root)
    generate(root / "data", rows=3000)
    store = FeatureStore(root)
    made = World(root, spine(root / "data"), {}, {})
    for name, service in store.bound.services.items():
        made.named[name] = lineage(planning.training_set(service))
        made.honest[name] = made.build(name)
    return made


def spine(data: Path) -> pa.Table:
    """Rows that ask just after a payment was known, where even short windows hold something, and just before a dispute."""
    soon = pl.duration(microseconds=1)
    keys = ["customer_id", "merchant_id", "card_id", "as_of", "amount"]
    payments = pl.read_parquet(data / "payments" / "*.parquet").drop_nulls("paid_at").gather_every(5)
    disputes = pl.read_parquet(data / "disputes.parquet").drop_nulls("disputed_at").with_columns(card_id=None)
    after = payments.with_columns(as_of=pl.max_horizontal("paid_at", "loaded_at") + soon).select(keys)
    before = disputes.with_columns(as_of=pl.col("disputed_at") - soon).select(keys)
    return pl.concat([after, before], how="vertical_relaxed").with_columns(referrer_id="customer_id").to_arrow()


def files(world: World, source: str) -> list[Path]:
    return sorted(
        path for pattern in FeatureStore(world.root).registry.sources[source].path for path in world.root.glob(pattern)
    )


def shuffled(world: World, source: str, column: str, aside: Path) -> Iterator[set[tuple[str, str]]]:
    """What moves while one column of a source stands in another order, over all of its files."""
    paths = files(world, source)
    tables = [pq.read_table(path) for path in paths]
    for path in paths:
        shutil.copy(path, aside / path.name)
    whole = pa.chunked_array([chunk for table in tables for chunk in table[column].chunks])
    order = list(range(len(whole)))
    random.Random(5).shuffle(order)
    values, start = pc.take(whole, pa.array(order)), 0
    for path, table in zip(paths, tables, strict=True):
        index = table.schema.get_field_index(column)
        pq.write_table(table.set_column(index, table.schema.field(index), values.slice(start, len(table))), path)
        start += len(table)
    try:
        yield world.moved(source)
    finally:
        for path in paths:
            shutil.copy(aside / path.name, path)


COLUMNS = {
    "payments": ["payment_id", "customer_id", "merchant_id", "card_country", "amount", "status", "paid_at", "loaded_at",
                 "is_deleted", "city", "card_id"],
    "disputes": ["customer_id", "merchant_id", "amount", "reason", "disputed_at", "reported_at"],
    "merchants": ["merchant_id", "name", "category", "risk_score", "valid_from"],
    "customers": ["customer_id", "segment", "home_country", "credit_limit", "customer_since", "updated_at", "loaded_at",
                  "version", "is_closed"],
    "cards": ["card_id", "network", "product", "issuer_country", "contactless"],
    "policies": ["effective_from", "review_from", "rule_set"],
}  # fmt: skip
EVERYDAY = {("payments", "amount"), ("disputes", "reason"), ("cards", "card_id")}


@pytest.mark.parametrize(
    "source, column",
    [
        pytest.param(source, column, marks=[] if (source, column) in EVERYDAY else pytest.mark.slow)
        for source, columns in COLUMNS.items()
        for column in columns
    ],
)
def test_a_column_moves_what_is_said_to_come_from_it_and_nothing_else(world, tmp_path, source, column):
    named = world.uses(source, column)
    for moved in shuffled(world, source, column, tmp_path):
        assert moved <= set(named), f"{sorted(moved - set(named))} move without a word"
        still = {cell for cell, why in named.items() if why - SELDOM} - moved
        assert still == set(), "named, and nothing moves"


def test_every_column_a_view_reads_is_asked_about(world):
    registry = FeatureStore(world.root).registry
    read = {(view.source.name, c) for view in (*registry.views.values(), *registry.labels.values()) for c in view.columns}
    assert read <= {(source, column) for source, columns in COLUMNS.items() for column in columns}
