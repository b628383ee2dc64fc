"""Labels from the command line: what build, check and explain say of them; and that nothing served depends on them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

LABELS = """
from featurestore import FeatureService, LabelView, ParquetSource, agg
from .payments import card_payments, customer, merchant_profile

disputes = ParquetSource(
    name="disputes", path="data/disputes.parquet", event_timestamp="disputed_at", created_timestamp="reported_at",
)
disputed = LabelView(
    name="disputed", entities=[customer], source=disputes, label=agg.count(window="60d", name="disputes_60d"), settle="10d",
)
fraud_v2 = FeatureService(name="fraud_v2", features=[card_payments, merchant_profile], labels=[disputed])
"""
BUILD = ("build", "fraud_v2", "--spine", "data/spine.parquet", "--output", "train.parquet")


@pytest.fixture
def labelled(project: Path) -> Path:
    """The shop with a service that has a label."""
    (project / "registry" / "labels.py").write_text(LABELS)
    return project


def test_build_needs_keys_and_as_of_alone_and_counts_labels(cli, labelled):
    spine = pq.read_table("data/spine.parquet").select(["merchant_id", "as_of", "customer_id"])
    pq.write_table(spine, "bare.parquet")
    said = cli(*BUILD[:3], "bare.parquet", *BUILD[4:], "--known-before", "2025-12-01T00:00:00Z", "--json").json["result"]
    train = pq.read_table("train.parquet")
    assert train.column_names[-2:] == ["risk_score", "disputes_60d"]
    told = said["labels"]["disputed"]
    values = train["disputes_60d"].to_pylist()
    assert told["immature"] == values.count(None) > 0
    assert told["mature"] == len(values) - values.count(None) > 0
    assert told["positive"] == sum(bool(v) for v in values) > 0
    assert told["mature_until"] == "2025-09-22T00:00:00.000000Z"
    assert (said["label"], "disputes_60d" in said["features"]) == (None, False)
    line = next(line for line in cli(*BUILD).out.splitlines() if line.startswith("label view disputed: mature "))
    assert "immature" in line
    assert "mature up to as_of" in line


def test_check_and_explain_show_label_views(cli, labelled):
    result = cli("check", "--data", "--json").json["result"]
    assert (result["labels"], result["views"], result["features"]) == (1, 2, 8)
    assert result["services"]["fraud_v2"] == {"views": 2, "features": 8, "labels": 1, "parts": 4}
    assert "disputed" in result["data"]["disputes"]["left_out"]
    assert "fraud_v2: 8 features of 2 views, label views 1" in cli("check").out
    said = cli("explain", "fraud_v2", "--json").json["result"]
    assert said["labels"] == {"disputes_60d": "int64"}
    assert "disputes_60d" not in said["features"]
    assert "disputed (label view disputed" in said["plan"]


def test_check_reports_a_label_that_does_not_fit_its_source(cli, labelled):
    (labelled / "registry" / "labels.py").write_text(LABELS.replace("settle=", 'where="colour = 1", settle='))
    said = cli("check", "--json")
    (error,) = said.json["errors"]
    assert (said.code, error["code"], "registry/labels.py" in error["where"]) == (3, "FS203", True)


def test_what_is_served_stays_the_same_with_labels(cli, labelled):
    before = cli("explain", "fraud_v1", "--json").json["result"]["fingerprint"]
    assert cli("explain", "fraud_v2", "--json").json["result"]["keys"] == {"customer_id": "int64", "merchant_id": "string"}
    file = labelled / "registry" / "services.py"
    listed = "features=[card_payments, merchant_profile],"
    text = file.read_text().replace(listed, f"{listed}\n    labels=[disputed],")
    file.write_text(text.replace("from .payments", "from .labels import disputed\nfrom .payments"))
    said = cli("explain", "fraud_v1", "--json").json["result"]
    assert (said["fingerprint"], list(said["labels"])) == (before, ["disputes_60d"])
    entity = ("customer_id=10038", "merchant_id=m00024")
    found = cli("get", "fraud_v1", *entity, "--as-of", "2026-01-01T00:00:00Z", "--json").json
    assert found["ok"]  # the store as it was filled before there was a label
    assert "disputes_60d" not in str(found)
    assert cli("materialize", "disputed").code == 2
    assert cli("materialize").code == 0
    assert "disputed" not in cli("status", "--json").out.replace("fraud", "")
