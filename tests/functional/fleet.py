"""A project as those who come from Feast have it, the real Feast's SDK asking its server, and Feast's own server beside it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import FeatureStore
from tests.needs import ROOT, require

SECOND = 1_000_000
HOUR, DAY = 3_600 * SECOND, 86_400 * SECOND
REGISTRY = """\
from featurestore import Entity, FeatureService, FeatureView, OnDemandFeatureView, ParquetSource, agg, latest

driver, shop = Entity(name="driver", join_keys=["driver_id"]), Entity(name="shop", join_keys=["shop"])
everyone = Entity(name="everyone", join_keys=[])
trips = ParquetSource(name="trips", path="trips.parquet", event_timestamp="at", delay="0s")
meals = ParquetSource(name="meals", path="meals.parquet", event_timestamp="at", delay="0s")

stats = FeatureView(
    name="stats", entities=[driver], source=trips, ttl="1d",
    features=[latest(n) for n in ("trips", "rate", "city", "tags", "home", "active")] + [latest("seen"), latest("day")],
)
counts = FeatureView(
    name="counts", entities=[driver], source=trips,
    features=[agg.count(window="10h", name="trips"), agg.histogram("city", window="30d", name="cities")],
)
dishes = FeatureView(name="dishes", entities=[driver, shop], source=meals, features=[latest("dish"), latest("price")])
rules = FeatureView(name="rules", entities=[], source=meals, features=[agg.count(window=None, name="meals")])
share = OnDemandFeatureView(
    name="share", inputs=[stats, counts.with_prefix("n_")], request={"fare": "double"},
    features={"fare_per_trip": "fare / stats_trips", "per_count": "fare / nullif(n_trips, 0)"},
)
"""
SERVICES = """
dispatch = FeatureService(name="dispatch", features=[stats, dishes])
priced = FeatureService(name="priced", features=[stats[["rate"]], share])
unlisted = FeatureService(name="general", features=[rules, counts.alias("tally")])
"""


def make_project(folder: Path) -> int:
    """A project in `folder`, materialized; the whole second from which its facts' times are counted back."""
    (folder / "registry").mkdir(parents=True)
    (folder / "featurestore.toml").write_text('[project]\nname = "fleet"\n', encoding="utf-8")
    definitions = REGISTRY.replace("stats_trips", "trips")
    (folder / "registry" / "fleet.py").write_text(definitions + SERVICES, encoding="utf-8")
    now = time.time_ns() // 1_000 // SECOND * SECOND - 5 * SECOND
    stamp = pa.timestamp("us", "UTC")
    trips = [
        (1, now - HOUR, 40, 0.5, "Porto", ["a", "b"], b"\x00\xff", True, now - 90 * SECOND, 20_000),
        (2, now - 2 * HOUR - 1_500, None, None, None, [], None, None, None, None),
        (3, now - 2 * DAY, 7, 1.5, "Lyon", ["c"], b"", False, now, 1),
        (2**53 + 1, now - 3 * HOUR - 500_000, 2**53 + 3, 0.1, 'x"\u2028', ["é"], b"z", False, now, 0),
        (5, now - HOUR, 5, float("nan"), "", ["d"], b"z", True, now, 0),
    ]
    names = ("driver_id", "at", "trips", "rate", "city", "tags", "home", "active", "seen", "day")
    types = dict(
        zip(names, (pa.int64(), stamp, pa.int64(), pa.float64(), pa.string(), pa.list_(pa.string()), pa.binary(),
                    pa.bool_(), stamp, pa.date32()), strict=True)
    )  # fmt: skip
    columns = {name: [row[i] for row in trips] for i, name in enumerate(names)}
    _write(folder / "trips.parquet", columns, types)
    meals = {
        "driver_id": [1, 1, 2],
        "shop": ["x", "y", "x"],
        "at": [now - HOUR] * 3,
        "dish": ["soup", "tea", None],
        "price": [1, 2, 3],
    }
    _write(folder / "meals.parquet", meals, {"driver_id": pa.int64(), "at": stamp})
    FeatureStore(folder).materialize()
    return now


def _write(path: Path, columns: dict[str, list[Any]], types: dict[str, pa.DataType]) -> None:
    arrays = {}
    for name, values in columns.items():
        type_ = types.get(name)
        arrays[name] = (
            pa.array(values, pa.int64()).cast(type_) if type_ and pa.types.is_timestamp(type_) else pa.array(values, type_)
        )
    pq.write_table(pa.table(arrays), path)


def python() -> str:
    """The interpreter beside the real Feast, as benchmarks/environments.py makes it; skips without it."""
    found = ROOT / ".venv-feast" / "bin" / "python"
    require("feast", found.is_file(), "Feast is not installed: python benchmarks/environments.py feast")
    return str(found)


PROGRAM = Path(__file__).with_name("fleet_in_feast.py")


def sdk(home: Path, data: Path, server: str, questions: list[dict[str, Any]]) -> dict[str, Any]:
    """What Feast's own SDK makes of our server's answers: its version, and one object per question."""
    return _program({"home": str(home), "data": str(data), "server": server, "questions": questions})


def _program(asked: dict[str, Any]) -> dict[str, Any]:
    command = [python(), str(PROGRAM)]
    done = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, cwd=asked["home"], env=environment(), timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def environment() -> dict[str, str]:
    """Without our package: it is not Feast's to import."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@contextmanager
def feast_server(home: Path, data: Path) -> Iterator[int]:
    """Feast's own Python server, its SQLite store filled with the same data. Gives: its port."""
    _program({"home": str(home), "data": str(data), "questions": []})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python(), "-W", "ignore", "-m", "feast.cli.cli", "serve", "--port", str(port)]
    said = home / "serve.log"
    with said.open("wb") as log:
        process = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, env={**environment(), "HOME": str(home)})
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, said.read_text(encoding="utf-8")[-3000:]
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(60)
