"""On-demand features from end to end: command line, server, and the same values from both and from a training set."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.scaffold import create
from tests.functional.conftest import Cli, contents
from tests.functional.serving import WATERMARK, Served, serving

DEFINITIONS = """\
from featurestore import FeatureService, OnDemandFeatureView

from .payments import card_payments, merchant_profile

scored = OnDemandFeatureView(
    name="scored",
    inputs=[card_payments, merchant_profile],
    request={"amount": "double", "items": "int64", "device": "string", "since": "timestamp"},
    features={
        "amount_ratio": "amount * 30 / nullif(amount_sum_30d, 0)",
        "per_item": "amount / items",
        "known_device": "device IS NOT NULL AND device <> ''",
        "waited_us": "epoch_us(as_of) - epoch_us(since)",
        "risk": "risk_score",
    },
)
scored_v1 = FeatureService(name="scored_v1", features=[card_payments[["count_1h"]], scored])
"""
ENTITIES = {"customer_id": [10038, 10039, None], "merchant_id": ["m00042", "m00003", "m00003"]}
REQUEST = {
    "amount": [9.5, 20, None],
    "items": [2, 0, 1],
    "device": ["a:b", "", None],
    "since": ["2025-12-31T23:00:00Z", None, None],
}
GOOD: dict[str, Any] = {"feature_service": "scored_v1", "entities": ENTITIES, "request": REQUEST, "as_of": WATERMARK}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("on_demand") / "shop"
    create(folder, rows=1_000)
    (folder / "registry" / "on_demand.py").write_text(DEFINITIONS)
    FeatureStore(folder).materialize(known_before=WATERMARK)
    return folder


@pytest.fixture(scope="module")
def served(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server beside which neither definitions nor data lie."""
    bare = tmp_path_factory.mktemp("served")
    shutil.copy(shop / "featurestore.toml", bare)
    shutil.copytree(shop / ".featurestore", bare / ".featurestore")
    with serving(bare) as found:
        yield found


def asked(**fields: Any) -> dict[str, Any]:
    return {**GOOD, **fields}


def brought(**columns: Any) -> dict[str, Any]:
    """The question with other request columns; ... leaves one out."""
    return asked(request={name: values for name, values in {**REQUEST, **columns}.items() if values is not ...})


# --- the server -------------------------------------------------------------------------------------------------------


def test_the_server_answers_from_the_store_alone_what_the_training_set_says(served: Served, shop: Path) -> None:
    found = served.ask(asked(include=["statuses", "event_timestamps"]))
    assert found.status == 200, found.body
    said = found.json
    assert said["feature_names"] == ["count_1h", "amount_ratio", "per_item", "known_device", "waited_us", "risk"]
    columns = {**ENTITIES, **REQUEST, "amount": [9.5, 20.0, None], "as_of": [WATERMARK] * 3}

    built = FeatureStore(shop).build_training_set("scored_v1", pa.table(columns), known_before=WATERMARK, include=["status"])
    names = said["feature_names"]
    assert [list(row.values()) for row in built.select(names).to_pylist()] == said["rows"]
    assert [list(row.values()) for row in built.select([f"{n}__status" for n in names]).to_pylist()] == said["statuses"]
    assert said["rows"][0][2:5] == [4.75, True, 3_600_000_000]
    assert said["rows"][1][2:5] == [None, False, None]
    assert {event for row in said["event_timestamps"] for event in row} == {None}
    assert set(said["watermarks"]) == {"card_payments", "merchant_profile"}


def test_services_tell_what_their_requests_bring(served: Served) -> None:
    services = {s["name"]: s for s in served.get("/v1/feature-services").json["feature_services"]}
    assert services["scored_v1"]["request"] == {
        "amount": "double", "items": "int64", "device": "string", "since": "timestamp[us, UTC]",
    }  # fmt: skip
    assert services["fraud_v1"]["request"] == {}
    assert [f["name"] for f in services["scored_v1"]["features"]][-1] == "risk"


def test_integers_may_come_as_text_and_nan_by_name(served: Served) -> None:
    said = served.ask(
        asked(request={**REQUEST, "items": ["2", "4", None], "amount": ["NaN", "Infinity", 1]}, int64="string")
    ).json
    assert [row[2] for row in said["rows"]] == ["NaN", "Infinity", None]
    assert said["rows"][0][4] == "3600000000"


REFUSED: dict[str, tuple[Any, str, str]] = {
    "no request": (asked(request=...), "FS502", "amount"),
    "a missing column": (brought(amount=...), "FS502", "amount"),
    "an unknown column": (brought(amuont=[1, 2, 3]), "FS502", "amuont"),
    "too few values": (brought(amount=[1.0]), "FS504", "1 values for 3 rows"),
    "too many values": (brought(amount=[1.0] * 4), "FS504", "4 values for 3 rows"),
    "no list": (brought(amount=9.5), "FS506", "list"),
    "text for a number": (brought(amount=["9.5", 1, 2]), "FS504", '"9.5"'),
    "a bool for a number": (brought(amount=[True, 1, 2]), "FS504", "true"),
    "a list for a number": (brought(amount=[[1], 1, 2]), "FS504", "[1]"),
    "a double for an integer": (brought(items=[1.0, 1, 2]), "FS504", "1.0"),
    "an integer beyond its type": (brought(items=[2**63, 1, 2]), "FS504", "int64"),
    "a number for text": (brought(device=[1, None, None]), "FS504", "text"),
    "an instant without offset": (brought(since=["2025-12-31T23:00:00", None, None]), "FS504", "offset"),
    "a number for an instant": (brought(since=[0, None, None]), "FS504", "instant"),
    "a request for a service that takes none": (
        {**GOOD, "feature_service": "fraud_v1"}, "FS502", "unknown request column",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_a_request_may_not_bring_is_a_422_that_says_so(case: tuple[Any, str, str], served: Served) -> None:
    question, code, words = case
    found = served.ask(json.dumps({name: value for name, value in question.items() if value is not ...}).encode())
    assert found.status == 422, found.body
    assert found.headers["content-type"] == "application/problem+json"
    assert (found.json["code"], words in found.json["detail"]) == (code, True), found.json


def test_a_request_column_named_twice_is_a_400(served: Served) -> None:
    body = json.dumps(GOOD).replace('"items"', '"amount": [1, 2, 3], "items"').encode()
    assert served.ask(body).status == 400


# --- the command line -------------------------------------------------------------------------------------------------

ENTITY = ("customer_id=10038", "merchant_id=m00042")
BROUGHT = (
    "--request",
    "amount=9.5",
    "--request",
    "items=2",
    "--request",
    "device=a=b",
    "--request",
    "since=2025-12-31T23:00:00Z",
)


def test_get_takes_what_the_request_brings(cli: Cli, project: Path) -> None:
    said = cli("get", "scored_v1", *ENTITY, *BROUGHT, "--as-of", WATERMARK, "--json").json["result"]["features"]
    assert said["per_item"] == {"value": 4.75, "status": "present", "event_timestamp": None}
    assert (said["known_device"]["value"], said["waited_us"]["value"]) == (True, 3_600_000_000)
    empty = tuple(word.split("=")[0] + "=" if "=" in word else word for word in BROUGHT)
    said = cli("get", "scored_v1", *ENTITY, *empty, "--as-of", WATERMARK, "--json").json["result"]["features"]
    assert [said[name]["value"] for name in ("per_item", "known_device", "waited_us")] == [None, False, None]


@pytest.mark.parametrize(
    "request_, code, words",
    [
        (BROUGHT[2:], "FS502", "missing request column 'amount'"),
        ((*BROUGHT, "--request", "amuont=1"), "FS502", "try amount"),
        ((*BROUGHT, "--request", "amount=1"), "FS502", "twice"),
        ((*BROUGHT[2:], "--request", "amount"), "FS502", "amount=…"),
        ((*BROUGHT[2:], "--request", "amount=much"), "FS504", "double"),
        ((*BROUGHT[:2], *BROUGHT[4:], "--request", "items=1.5"), "FS504", "int64"),
        ((*BROUGHT[:6], "--request", "since=yesterday"), "FS504", "offset"),
    ],
)
def test_get_refuses_a_request_typed_wrong(request_: tuple[str, ...], code: str, words: str, cli: Cli, project: Path) -> None:
    said = cli("get", "scored_v1", *ENTITY, *request_)
    assert (said.code, code in said.err, words in said.err) == (2, True, True), said.err


def test_build_counts_what_had_no_value_and_records_the_definition(cli: Cli, project: Path) -> None:
    spine = pq.read_table("data/spine.parquet")

    more = {"items": pa.array([0, 1] * (spine.num_rows // 2) + [1] * (spine.num_rows % 2), pa.int64())}
    more |= {"device": pa.nulls(spine.num_rows, pa.string()), "since": spine["as_of"]}
    for name, column in more.items():
        spine = spine.append_column(name, column)
    pq.write_table(spine, "spine.parquet")
    said = cli("build", "scored_v1", "--spine", "spine.parquet", "--output", "train.parquet", "--label", "label")
    assert said.code == 0, said.err
    manifest = json.loads(Path("train.parquet.manifest.json").read_text())
    zeros = sum(i == 0 and a is not None for i, a in zip(spine["items"].to_pylist(), spine["amount"].to_pylist(), strict=True))
    assert manifest["without_value"] == {"amount_ratio": 0, "per_item": zeros, "known_device": 0, "waited_us": 0, "risk": 0}
    assert f"rows in which an operation had no value: amount_ratio 0, per_item {zeros}," in said.out
    assert "  scored: present" in said.out
    assert list(manifest["on_demand_fingerprints"]) == ["scored"]
    assert set(manifest["view_fingerprints"]) == {"card_payments", "merchant_profile"}
    built = pq.read_table("train.parquet")
    assert built.column_names == [*spine.column_names, *(f for f in manifest["features"])]
    assert list(manifest["features"]) == ["count_1h", "amount_ratio", "per_item", "known_device", "waited_us", "risk"]
    refused = cli("build", "scored_v1", "--spine", "data/spine.parquet", "--output", "no.parquet")
    assert (refused.code, "FS303" in refused.err, "'items'" in refused.err) == (4, True, True)
    assert not Path("no.parquet").exists()


def test_check_and_explain_tell_of_them(cli: Cli, project: Path) -> None:
    said = cli("check", "--json").json["result"]
    assert said["on_demand_views"] == 1
    assert said["services"]["scored_v1"] == {"views": 2, "features": 6, "labels": 0, "parts": 2, "on_demand": 1}
    assert "1 on demand views" in cli("check").out
    plan = cli("explain", "scored_v1").out
    assert 'OnDemand: per_item = divide("amount", "items")' in plan
    assert "amount_sum_30d (hidden card_payments.amount_sum_30d)" in plan
    assert '"per_item__without_value"' in cli("explain", "scored_v1", "--sql").out
    assert cli("explain", "scored_v1", "--json").json["result"]["request"]["since"] == "timestamp[us, UTC]"


@pytest.mark.parametrize(
    "old, new, code, words",
    [
        ('"amount / items"', '"sum(amount) / items"', "FS215", "sum"),
        ('"amount / items"', '"amount / itmes"', "FS203", "try items"),
        ('"amount / items"', '"amount || items"', "FS216", "||"),
        ('"per_item"', '"risk_score"', "FS207", "risk_score"),
        ('"per_item"', '"count_1h"', "FS207", "count_1h"),
        ('"items": "int64"', '"customer_id": "int64"', "FS203", "items"),
        ("inputs=[card_payments, merchant_profile]", 'inputs=[card_payments, "merchant_profile"]', "FS228", "merchant_profile"),
    ],
)
def test_a_definition_that_means_nothing_is_exit_3_and_changes_nothing(
    old: str, new: str, code: str, words: str, cli: Cli, project: Path
) -> None:
    (project / "registry" / "on_demand.py").write_text(DEFINITIONS.replace(old, new))
    before = contents(project)
    for arguments in (("check",), ("compile",), ("materialize",)):
        said = cli(*arguments)
        assert (said.code, code in said.err, words in said.err) == (3, True, True), said.err
        assert "registry/on_demand.py" in said.err
    assert contents(project) == before
