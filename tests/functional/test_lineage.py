"""`featurestore lineage`, the lineage in a training set's manifest, and both against what OpenLineage is told."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.functional.conftest import Cli

BUILD = ("build", "fraud_v1", "--spine", "data/spine.parquet", "--output", "train.parquet")


def test_a_feature_is_told_as_a_tree(cli: Cli, project: Path):
    said = cli("lineage", "card_payments.amount_sum_7d", "--svg", "lineage.svg")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == "feature card_payments.amount_sum_7d"
    assert "│   └── source payments" in lines
    assert "│       ├── amount        value; version" in lines
    assert "    └── service fraud_v1: amount_sum_7d" in lines
    assert ElementTree.parse(project / "lineage.svg").getroot().tag.endswith("svg")


def test_a_source_is_told_column_by_column(cli: Cli, project: Path):
    said = cli("lineage", "payments", "--json").json["result"]
    assert (said["kind"], said["upstream"]) == ("source", {})
    reached = {r["name"]: r["roles"] for r in said["downstream"]["payments.amount"]}
    assert reached["card_payments.amount_sum_7d"] == reached["fraud_v1.amount_sum_7d"] == ["value", "version"]
    text = cli("lineage", "payments").out
    assert "├── amount\n" in text
    assert "service fraud_v1:" in text


@pytest.mark.parametrize(
    "arguments, code",
    [(["lineage", "nothing"], "FS170"), (["lineage", "payments", "--kind", "thing"], "FS102"), (["lineage"], "FS100")],
)
def test_what_cannot_be_asked(cli: Cli, project: Path, arguments, code):
    said = cli(*arguments, "--json")
    assert (said.code, said.json["errors"][0]["code"]) == (2, code)


def test_the_manifest_the_command_and_openlineage_say_the_same(cli: Cli, project: Path, monkeypatch):
    monkeypatch.setenv("FEATURESTORE_OPENLINEAGE__FILE", "told.jsonl")
    assert cli(*BUILD).code == 0
    manifest = json.loads((project / "train.parquet.manifest.json").read_text())["lineage"]
    event = json.loads((project / "told.jsonl").read_text().splitlines()[-1])
    told = event["outputs"][0]["facets"]["columnLineage"]["fields"]
    served = cli("lineage", "fraud_v1", "--json").json["result"]["upstream"]
    assert list(manifest) == [name.partition(".")[2] for name in served]
    for name, columns in manifest.items():
        fields = {i["field"] for i in told[name]["inputFields"]}
        assert fields == {c["column"] for c in columns}
        asked = {(c["source"], c["column"], *c["roles"]) for c in served[f"fraud_v1.{name}"]}
        assert asked == {(c["source"], c["column"], *c["roles"]) for c in columns}


def test_a_manifest_without_lineage_is_read_as_ever_and_means_the_same(cli: Cli, project: Path):
    assert cli(*BUILD).code == 0
    note = project / "train.parquet.manifest.json"
    document = json.loads(note.read_text())
    del document["lineage"]
    old = project / "old.parquet"
    (project / "train.parquet").rename(old)
    (project / "old.parquet.manifest.json").write_text(
        json.dumps({**document, "output": {**document["output"], "name": old.name}})
    )
    assert cli("rebuild", "old.parquet", "--output", "new.parquet", "--verify").code == 0
    said = cli("diff", "old.parquet", "new.parquet", "--json")
    assert (said.code, said.json["ok"]) == (0, True)
