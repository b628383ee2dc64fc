"""What is told to a receiver of OpenLineage: a real one, on loopback. And that telling it never harms what is told of."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from openlineage.client import event_v2, facet_v2

from featurestore import FeatureStore
from featurestore.errors import FeatureStoreError, StoreLocked
from tests.functional.conftest import environment

TS = "2026-01-02T00:00:00Z"


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent. answer: the status it gives; sleep: how long it thinks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str | None]] = []
        self.answer, self.sleep, self.elsewhere = 200, 0.0, ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def told(self) -> list[tuple[str, str]]:
        return [(event["eventType"], event["job"]["name"]) for event in self.events]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, self.headers["Authorization"]))
        time.sleep(self.server.sleep)
        if self.server.answer == 200:
            self.server.events.append(json.loads(body))
        self.send_response(self.server.answer)
        if self.server.elsewhere:
            self.send_header("Location", self.server.elsewhere)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def told(project: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """The receiver of a project in the shell's folder."""
    monkeypatch.setenv("FEATURESTORE_OPENLINEAGE__URL", receiver.url)
    return receiver


def build(cli, *more: object):
    return cli("build", "fraud_v1", "--spine", "data/spine.parquet", "--output", "train.parquet", "--json", *more)


# The specification

FACETS = {
    "columnLineage": facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet,
    "documentation": facet_v2.documentation_job.DocumentationJobFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "nominalTime": facet_v2.nominal_time_run.NominalTimeRunFacet,
    "outputStatistics": facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "ownership": facet_v2.ownership_job.OwnershipJobFacet,
    "parent": facet_v2.parent_run.ParentRunFacet,
    "processing_engine": facet_v2.processing_engine_run.ProcessingEngineRunFacet,
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
    "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
}


def conforms(event: dict[str, Any]) -> None:
    """Every member is one of the specification's classes, which check what they are given."""
    run = event_v2.Run(event["run"]["runId"], _facets(event["run"]["facets"]))
    job = event_v2.Job(event["job"]["namespace"], event["job"]["name"], _facets(event["job"]["facets"]))
    inputs = [event_v2.InputDataset(d["namespace"], d["name"], facets=_facets(d["facets"])) for d in event["inputs"]]
    outputs = [
        event_v2.OutputDataset(
            d["namespace"], d["name"], facets=_facets(d["facets"]), outputFacets=_facets(d.get("outputFacets", {}))
        )
        for d in event["outputs"]
    ]
    kind = event_v2.RunState(event["eventType"])
    whole = event_v2.RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=kind,
        run=run,
        job=job,
        inputs=inputs,
        outputs=outputs,
    )
    assert whole.schemaURL == event["schemaURL"]


def _facets(told: dict[str, Any]) -> dict[str, Any]:
    made = {}
    for name, facet in told.items():
        kind = FACETS[name]
        given = {member: value for member, value in facet.items() if not member.startswith("_")}
        made[name] = kind(**_nested(name, given))
        assert facet["_schemaURL"] == kind._get_schema(), name
        assert facet["_producer"].startswith("urn:featurestore:")
    return made


def _nested(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a facet holds of other classes, made as such."""
    lineage, schema, parent = facet_v2.column_lineage_dataset, facet_v2.schema_dataset, facet_v2.parent_run
    if name == "columnLineage":
        fields = {
            column: lineage.Fields(
                [
                    lineage.InputField(**{**i, "transformations": [lineage.Transformation(**t) for t in i["transformations"]]})
                    for i in told["inputFields"]
                ]
            )
            for column, told in given["fields"].items()
        }
        return {"fields": fields}
    if name == "schema":
        return {"fields": [schema.SchemaDatasetFacetFields(**field) for field in given["fields"]]}
    if name == "parent":
        return {"run": parent.Run(**given["run"]), "job": parent.Job(**given["job"])}
    return given


def test_a_build_is_told_of(cli, project, told, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "a-token")
    done = build(cli, "--known-before", TS, "--include", "status").json
    assert (done["ok"], done["result"]["warnings"]) == (True, [])
    assert told.told() == [("START", "build.fraud_v1"), ("COMPLETE", "build.fraud_v1")]
    assert set(told.requests) == {("/api/v1/lineage", "Bearer a-token")}
    start, complete = told.events
    for event in told.events:
        conforms(event)
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert complete["job"]["namespace"] == "shop"
    assert complete["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2026-01-02T00:00:00.000000Z"
    places = [(d["namespace"], d["name"]) for d in complete["inputs"]]
    assert places == [("file", str(project / "data" / n)) for n in ("payments", "merchants.parquet", "spine.parquet")]
    (made,) = complete["outputs"]
    assert (made["namespace"], made["name"]) == ("file", str(project / "train.parquet"))
    assert made["facets"]["version"]["datasetVersion"] == done["result"]["content_hash"]
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == done["result"]["rows"]
    manifest = json.loads((project / "train.parquet.manifest.json").read_text())
    assert [f["name"] for f in made["facets"]["schema"]["fields"]] == [name for name, _ in manifest["columns"]]
    assert list(made["facets"]["columnLineage"]["fields"]) == [name for name, _ in manifest["columns"]]


def test_the_columns_a_feature_comes_from_are_told(cli, project, told):
    build(cli)
    fields = told.events[-1]["outputs"][0]["facets"]["columnLineage"]["fields"]
    found = {
        (Path(i["name"]).name, i["field"]): [(t["type"], t["subtype"]) for t in i["transformations"]]
        for i in fields["amount_sum_7d"]["inputFields"]
    }
    assert found["payments", "amount"][0] == ("DIRECT", "AGGREGATION")
    assert found["payments", "customer_id"][0] == ("INDIRECT", "JOIN")
    assert found["spine.parquet", "as_of"] == [("INDIRECT", "WINDOW")]
    assert ("payments", "merchant_id") not in {key for key, ways in found.items() if ("DIRECT", "AGGREGATION") in ways}
    (label,) = fields["label"]["inputFields"]
    assert (Path(label["name"]).name, label["transformations"][0]["subtype"]) == ("spine.parquet", "IDENTITY")


def test_each_view_that_is_materialized_is_told_of(cli, project, told):
    done = cli("materialize", "--known-before", TS, "--json").json["result"]["views"]
    views = [view["view"] for view in done]
    assert told.told() == [(event, f"materialize.{view}") for view in views for event in ("START", "COMPLETE")]
    for event in told.events:
        conforms(event)
    (made,) = told.events[1]["outputs"]
    assert made["name"] == str(project / ".featurestore" / "online" / views[0])
    assert made["facets"]["version"]["datasetVersion"] == f"{done[0]['fingerprint']}/{done[0]['generation']}"


def test_a_backfill_is_told_of(cli, project, told):
    asked = ("backfill", "card_payments", "--from", "2025-12-01T00:00:00Z", "--to", "2025-12-03T00:00:00Z", "--output", "days")
    cli(*asked, "--dry-run")
    done = cli(*asked, "--json").json["result"]
    assert told.told() == [("START", "backfill.card_payments"), ("COMPLETE", "backfill.card_payments")]
    for event in told.events:
        conforms(event)
    (made,) = told.events[-1]["outputs"]
    assert made["name"] == str(project / "days")
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == done["rows"]
    (key,) = made["facets"]["columnLineage"]["fields"]["customer_id"]["inputFields"]
    assert (key["field"], key["transformations"][0]["subtype"]) == ("customer_id", "IDENTITY")


# What does not end well


def test_a_build_that_fails_says_why_and_no_secret(cli, project, told):
    (project / "data" / "merchants.parquet").unlink()
    assert build(cli).code == 4
    assert told.told() == [("START", "build.fraud_v1"), ("FAIL", "build.fraud_v1")]
    conforms(told.events[-1])
    assert told.events[-1]["run"]["facets"]["errorMessage"]["message"].startswith("FS321 ")


@pytest.mark.parametrize(
    "text, told_of",
    [
        ("cannot reach redis://:hunter2@db:6379/0", "cannot reach redis://…db:6379/0"),
        ("postgresql://me:hunter2@db/x refused", "postgresql://…db/x refused"),
        ("host=db password=hunter2 dbname=x", "host=db password=… dbname=x"),
        ("https://db/x?token=hunter2&a=b", "https://db/x?token=…&a=b"),
    ],
)
def test_errors_are_told_without_secrets(text, told_of):
    from featurestore.openlineage.facets import error_message

    assert error_message(FeatureStoreError("FS407", text))["message"] == f"FS407 {told_of}"
    assert error_message(ValueError(text))["message"] == "unexpected ValueError"


def test_an_interrupted_build_is_aborted(project, told):
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureStore(project).build_training_set("fraud_v1", project / "data" / "spine.parquet", watch=stop)
    assert [event for event, _ in told.told()] == ["START", "ABORT"]
    conforms(told.events[-1])


@pytest.mark.slow
def test_a_run_that_finds_the_store_locked_fails(project, told):
    store = FeatureStore(project)
    with store.online.lock(), pytest.raises(StoreLocked):
        FeatureStore(project).materialize(known_before=TS)
    store.online.close()
    assert [event for event, _ in told.told()] == ["START", "FAIL"]
    assert told.events[-1]["run"]["facets"]["errorMessage"]["message"].startswith("FS401 ")


def test_a_name_typed_wrong_is_no_run(cli, project, told):
    assert cli("build", "fraud_v2", "--spine", "data/spine.parquet", "--output", "train.parquet").code == 2
    assert cli("materialize", "card_payment").code == 2
    assert told.events == []


# It never harms


def test_without_a_receiver_nothing_is_imported(project):
    materialize = f"main(['materialize', '--known-before', '{TS}', '--quiet'])"
    code = f"import sys; from featurestore.cli import main; {materialize}; print(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=environment(), capture_output=True, text=True, check=True
    )
    loaded = {name for name in said.stdout.split() if "openlineage" in name}
    assert loaded == {"featurestore.openlineage", "featurestore.openlineage.observed"}


@pytest.mark.parametrize("answer", [302, pytest.param(500, marks=pytest.mark.slow)])
def test_a_receiver_that_refuses_is_a_warning(cli, project, told, monkeypatch, answer):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "a-token")
    told.answer, told.elsewhere = answer, "http://127.0.0.1:1/elsewhere" if answer == 302 else ""
    before = build(cli).json
    assert before["ok"]
    assert before["result"]["warnings"] == [f"openlineage: 2 of 2 events were not taken: the receiver said {answer}"]


@pytest.mark.slow
def test_a_receiver_that_is_not_there_is_a_warning(cli, project, monkeypatch):
    monkeypatch.setenv("FEATURESTORE_OPENLINEAGE__URL", "http://127.0.0.1:1")
    done = cli("materialize", "--known-before", TS, "--json").json
    assert done["ok"]
    assert done["result"]["warnings"] == ["openlineage: 4 of 4 events were not taken: Connection refused"]


def test_a_receiver_that_does_not_answer_costs_no_more_than_the_timeout(cli, project, told, monkeypatch):
    monkeypatch.setenv("FEATURESTORE_OPENLINEAGE__TIMEOUT", "300ms")
    told.sleep = 1.5
    began = time.monotonic()
    done = cli("materialize", "merchant_profile", "--known-before", TS, "--json").json
    spent = time.monotonic() - began
    assert done["ok"]
    assert "events were not taken" in done["result"]["warnings"][0]
    assert spent < 20
    from featurestore.config import OpenLineage
    from featurestore.openlineage.sending import Sender

    sender = Sender(OpenLineage(url=told.url, timeout="300ms"), project)
    sender.send(lambda: {"a": 1})
    sender.send(lambda: {"a": 2})
    began = time.monotonic()
    assert "2 of 2 events were not taken" in sender.close()
    assert time.monotonic() - began < 1.2


def test_an_event_that_cannot_be_made_or_written_is_a_warning(cli, project, monkeypatch):
    monkeypatch.setenv("FEATURESTORE_OPENLINEAGE__FILE", "nowhere/events.jsonl")
    assert build(cli).json["result"]["warnings"] == ["openlineage: 2 of 2 events were not taken: No such file or directory"]
    monkeypatch.setenv("FEATURESTORE_OPENLINEAGE__FILE", "events.jsonl")
    monkeypatch.setattr("featurestore.openlineage.runs.lineage", lambda _: 1 / 0)
    done = build(cli).json
    assert done["result"]["warnings"] == ["openlineage: 1 of 2 events were not taken: ZeroDivisionError while it was made"]
    assert [json.loads(line)["eventType"] for line in (project / "events.jsonl").read_text().splitlines()] == ["START"]


@pytest.mark.slow
def test_what_is_built_is_the_same_bytes(cli, project, monkeypatch):
    build(cli)
    before = (project / "train.parquet").read_bytes(), (project / "train.parquet.manifest.json").read_bytes()
    monkeypatch.setenv("FEATURESTORE_OPENLINEAGE__FILE", "events.jsonl")
    build(cli)
    assert before == ((project / "train.parquet").read_bytes(), (project / "train.parquet.manifest.json").read_bytes())


# Settings


@pytest.mark.parametrize("url", ["ftp://x", "lineage:5000", "http://", "http://me:pw@x", "https://x?api_key=1"])
def test_a_receiver_with_credentials_or_none_is_refused(cli, project, monkeypatch, url):
    monkeypatch.setenv("FEATURESTORE_OPENLINEAGE__URL", url)
    said = cli("status")
    assert (said.code, said.err.split()[0]) == (2, "FS107")
    assert "pw" not in said.err


def test_an_empty_receiver_is_none(cli, project, monkeypatch):
    monkeypatch.setenv("FEATURESTORE_OPENLINEAGE__URL", "")
    assert not FeatureStore(project).config.openlineage.on


@pytest.mark.slow
def test_the_run_that_an_orchestrator_names_is_the_parent(cli, project, told, monkeypatch):
    run = "01890f3c-7c41-7d5e-8f6d-2f4b6a1c0d9e"
    for given, parent in ((f"airflow/daily.build/{run}", {"namespace": "airflow", "name": "daily.build"}), ("nonsense", None)):
        monkeypatch.setenv("OPENLINEAGE_PARENT_ID", given)
        told.events.clear()
        build(cli)
        found = told.events[-1]["run"]["facets"].get("parent")
        assert (found and (found["job"], found["run"])) == (parent and (parent, {"runId": run}))
        conforms(told.events[-1])
