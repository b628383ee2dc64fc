"""A small project whose training sets are built, built again, and compared: what is in it, and how it is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import FeatureStore
from featurestore.audit.change import Change
from featurestore.audit.rebuild import Rebuilt

UTC = pa.timestamp("us", "UTC")
HOUR = 3_600_000_000
PAID = 1_704_067_200_000_000
REGISTRY = """
from featurestore import (Entity, FeatureService, FeatureView, LabelView, OnDemandFeatureView, ParquetSource, agg, latest)

payments = ParquetSource(name="payments", path="data/payments/*.parquet", event_timestamp="paid_at",
                         created_timestamp="loaded_at", row_key=["payment_id"])
shops = ParquetSource(name="shops", path="data/shops.parquet", event_timestamp="since", delay="1h")
customer, shop = Entity(name="customer"), Entity(name="shop")
spending = FeatureView(
    name="spending", entities=[customer], source=payments, where="amount > 0", ttl="90d", description="As it was.",
    features=[latest("amount"), agg.sum("amount", window=["1d", "7d"]), agg.mean("amount * 2", window="7d", name="twice"),
              agg.stddev_samp("amount", window="7d")],
)
place = FeatureView(name="place", entities=[shop], source=shops, features=[latest("city")])
ratio = OnDemandFeatureView(name="ratio", inputs=[spending], request={"asked": "double"},
                            features={"share": "asked / nullif(amount_sum_7d, 0)"})
churn = LabelView(name="churn", entities=[customer], source=payments, label=agg.count(window="2d", name="again"), settle="1d")
service = FeatureService(name="svc", features=[spending, place, ratio], labels=[churn])
"""


def payments(first: int, rows: int, seed: int) -> pa.Table:
    rng = Random(seed)
    paid = [PAID + rng.randrange(60 * 24) * HOUR for _ in range(rows)]
    return pa.table(
        {
            "payment_id": list(range(first, first + rows)),
            "customer": [rng.randrange(6) for _ in range(rows)],
            "paid_at": pa.array(paid, pa.int64()).cast(UTC),
            "loaded_at": pa.array([p + rng.randrange(5) * HOUR for p in paid], pa.int64()).cast(UTC),
            "amount": [rng.choice((0.1, 0.2, 0.3, 7.25, 1e9, -1.0, None)) for _ in range(rows)],
        }
    )


def shops() -> pa.Table:
    since = pa.array([PAID + i * 9 * HOUR for i in range(12)], pa.int64()).cast(UTC)
    return pa.table({"shop": [f"s{i % 3}" for i in range(12)], "since": since, "city": [f"city {i}" for i in range(12)]})


def spine(rows: int = 200, seed: int = 5) -> pa.Table:
    rng = Random(seed)
    at = [PAID + rng.randrange(60 * 24) * HOUR + rng.randrange(3) for _ in range(rows)]
    return pa.table(
        {
            "customer": [rng.choice((0, 1, 2, 3, 4, 5, 9, None)) for _ in range(rows)],
            "shop": [rng.choice(("s0", "s1", "s2", None)) for _ in range(rows)],
            "as_of": pa.array(at, pa.int64()).cast(UTC),
            "asked": [rng.choice((1.5, 2.5, None)) for _ in range(rows)],
            "label": [rng.random() < 0.5 for _ in range(rows)],
        }
    )


@dataclass
class Made:
    """A project in a folder, with which a user builds and builds again."""

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def new(cls, folder: Path) -> Made:
        (folder / "registry").mkdir(parents=True)
        (folder / "data" / "payments").mkdir(parents=True)
        (folder / "featurestore.toml").write_text('[project]\nname = "made"\n')
        (folder / "registry" / "all.py").write_text(REGISTRY)
        for i in range(3):
            pq.write_table(payments(i * 100, 100, i), folder / f"data/payments/{i}.parquet")
        pq.write_table(shops(), folder / "data/shops.parquet")
        pq.write_table(spine(), folder / "data/spine.parquet")
        return cls(folder)

    @property
    def store(self) -> FeatureStore:
        """Opened anew, as a later process would."""
        return FeatureStore(self.folder)

    def build(self, name: str = "train.parquet", given: Any = None, **options: Any) -> Path:
        given = self.folder / "data/spine.parquet" if given is None else given
        return Path(self.store.build_training_set("svc", given, output=self.folder / name, **options))  # type: ignore[arg-type]

    def verify(self, name: str = "train.parquet", **options: Any) -> Rebuilt:
        return self.store.rebuild(self.folder / name, verify=True, **options)

    def redefine(self, was: str, now: str) -> None:
        path = self.folder / "registry" / "all.py"
        text = path.read_text()
        assert text.count(was) == 1, was
        path.write_text(text.replace(was, now))

    def manifest(self, name: str = "train.parquet") -> dict[str, Any]:
        return json.loads((self.folder / f"{name}.manifest.json").read_text())  # type: ignore[no-any-return]

    def rewrite_manifest(self, document: Mapping[str, Any], name: str = "train.parquet") -> None:
        (self.folder / f"{name}.manifest.json").write_text(json.dumps(document))


def told(changes: list[Change]) -> list[str]:
    """Every change in a line."""
    return [f"{change.what}: {change}" for change in changes]
