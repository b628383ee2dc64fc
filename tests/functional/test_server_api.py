"""What else the server tells: its services, its state, its OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.functional.serving import Served, make_project, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(make_project(tmp_path_factory.mktemp("api") / "shop", rows=500)) as found:
        yield found


def test_services_come_with_keys_types_and_watermarks(served: Served) -> None:
    [service] = served.get("/v1/feature-services").json["feature_services"]
    assert service["name"] == "fraud_v1"
    assert service["keys"] == {"customer_id": "integer", "merchant_id": "text"}
    assert {"name": "amount_sum_1d", "type": "double"} in service["features"]
    assert service["watermarks"]["card_payments"] == "2026-01-01T00:00:00.000000Z"


def test_health_and_ready(served: Served) -> None:
    assert (served.get("/health").status, served.get("/health").json) == (200, {"status": "ok"})
    assert (served.get("/ready").status, served.get("/ready").json) == (200, {"status": "ready"})


def test_openapi_describes_closed_shapes_and_every_reference_leads_somewhere(served: Served) -> None:
    document = served.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/v1/online-features",
        "/get-online-features",
        "/v1/push/{source}",
        "/v1/feature-services",
        "/health",
        "/ready",
        "/metrics",
    }
    asked = document["paths"]["/v1/online-features"]["post"]
    assert {"200", "400", "404", "409", "413", "415", "422", "503"} <= set(asked["responses"])
    schemas = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    for name in ("OnlineFeaturesRequest", "OnlineFeatures", "Problem", "FeatureService"):
        assert schemas[name]["additionalProperties"] is False
    assert schemas["OnlineFeaturesRequest"]["examples"]


def test_a_real_answer_fits_its_schema(served: Served) -> None:
    from featurestore.server.schemas import OnlineFeatures, Problem

    question = {"feature_service": "fraud_v1", "entities": {"customer_id": [1], "merchant_id": [None]}}
    OnlineFeatures.model_validate_json(served.ask(**question, include=["statuses", "event_timestamps"]).body)
    Problem.model_validate_json(served.ask(b"{").body)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def test_the_document_needs_nothing_from_elsewhere(served: Served) -> None:
    assert b"http://" not in served.get("/openapi.json").body
    assert b"https://" not in served.get("/openapi.json").body


def test_the_request_model_takes_its_own_example(served: Served) -> None:
    from featurestore.server.schemas import OnlineFeaturesRequest

    for example in OnlineFeaturesRequest.model_config["json_schema_extra"]["examples"]:  # type: ignore[index, call-overload]
        OnlineFeaturesRequest.model_validate(example)
        assert served.ask(example).status == 200
