"""Run by Feast's own interpreter: a Feast project over the data of tests/functional/fleet.py, and questions to its SDK.

stdin: {"home", "data", "server"?, "questions"}; with a server, the online store is `remote`, else SQLite and filled.
"""

import json
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

warnings.simplefilter("ignore")
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType  # noqa: E402
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus  # noqa: E402
from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: E402
from feast.protos.feast.types.Value_pb2 import Value  # noqa: E402
from feast.types import Array, Bool, Bytes, Float64, Int64, String, UnixTimestamp  # noqa: E402
from feast.version import get_version  # noqa: E402

YAML = """\
project: fleet
registry: {home}/registry.db
provider: local
online_store:
  type: {type}
  path: {path}
entity_key_serialization_version: 3
"""


def project(home, data, server):
    """A store with the definitions as those who come from Feast have them."""
    yaml = YAML.format(home=home, type="remote" if server else "sqlite", path=server or f"{home}/online.db")
    Path(home, "feature_store.yaml").write_text(yaml, encoding="utf-8")
    store = FeatureStore(home)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
    trips, meals = (FileSource(name=n, path=f"{data}/{n}.parquet", timestamp_field="at") for n in ("trips", "meals"))
    stats = FeatureView(
        name="stats", entities=[driver], ttl=timedelta(days=1), source=trips,
        schema=_fields(
            trips=Int64, rate=Float64, city=String, tags=Array(String), home=Bytes, active=Bool, seen=UnixTimestamp
        ),
    )  # fmt: skip
    dishes = FeatureView(name="dishes", entities=[driver, shop], source=meals, schema=_fields(dish=String, price=Int64))
    views = [stats, dishes]
    if server:  # Feast has no windows; it is enough that the names are there
        views.append(FeatureView(name="counts", entities=[driver], source=trips, schema=_fields(trips=Int64)))
    store.apply([driver, shop, *views, FeatureService(name="dispatch", features=[stats, dishes])])
    if not server:
        now = datetime.now(UTC)
        store.materialize(now - timedelta(days=30), now)
    return store


def _fields(**types):
    return [Field(name=name, dtype=dtype) for name, dtype in types.items()]


def answer(store, question):
    """Values and statuses as the SDK has them, by name."""
    if "read" in question:
        return read(store, **question)
    if "feature_service" in question:
        question["features"] = store.get_feature_service(question.pop("feature_service"))
    found = store.get_online_features(**question)
    names = found.proto.metadata.feature_names.val
    statuses = {n: [FieldStatus.Name(s) for s in vector.statuses] for n, vector in zip(names, found.proto.results, strict=True)}
    views = [view.name for view in found.proto.metadata.feature_view_metadata]
    return {"values": found.to_dict(), "statuses": statuses, "views": views}


def read(store, read, keys):
    """What the online store is asked for a view at a time: (event time, {feature: the set field of its value})."""
    table = store.get_feature_view("stats")
    asked = [EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=key)]) for key in keys]
    rows = store._get_provider().online_read(store.config, table, asked, read)
    return [[str(when), {name: str(value).strip() for name, value in values.items()}] for when, values in rows]


def main():
    asked = json.loads(sys.stdin.read())
    store = project(asked["home"], asked["data"], asked.get("server"))
    answers = []
    for question in asked["questions"]:
        try:
            answers.append(answer(store, question))
        except Exception as error:
            answers.append({"error": f"{type(error).__name__}: {error}"})
    print(json.dumps({"version": get_version(), "answers": answers}))


main()
