"""`drift` and `performance` as commands: exit codes, reports, manifests, and labels that nobody could have known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, LabelView, agg, serve_log
from featurestore.errors import FeatureStoreError
from featurestore.intervals import FixedClock
from featurestore.monitoring.results import recent
from featurestore.profiles import Profile
from featurestore.serve_log import layout
from featurestore.serve_log.writer import Limits, Piece, Writer
from tests.functional.conftest import Cli

T = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def write(path: Path, shift: float, rows: int = 3_000) -> None:
    rng = np.random.default_rng(round(shift * 100))
    at = [T + HOUR * (i % 240) for i in range(rows)]
    table = {"customer_id": rng.integers(0, 50, rows), "as_of": pa.array(at, pa.timestamp("us", "UTC"))}
    table |= {"amount": rng.normal(shift, size=rows), "country": rng.choice(["de", "fr", "<b>"], rows)}
    pq.write_table(pa.table({**table, "label": rng.random(rows) < 0.2}), path)


@pytest.fixture
def sides(project: Path) -> Path:
    for name, shift in (("usual", 0.0), ("same", 0.01), ("moved", 0.5)):
        write(project / f"{name}.parquet", shift)
    pl.read_parquet("moved.parquet").write_csv("moved.csv")
    return project


def test_drift_alerts_by_its_exit_code_and_writes_a_report(cli: Cli, sides: Path):
    asked = ("drift", "--reference", "usual.parquet", "--label", "label", "--current")
    assert cli(*asked, "same.parquet").code == 0
    said = cli(*asked, "moved.parquet", "--output", "drift.html")
    assert said.code == 1
    assert said.err.splitlines()[-1] == "FS395 drifted: all features together, amount · in moved.parquet"
    assert "label (label)" in said.out
    report = (sides / "drift.html").read_text(encoding="utf-8")
    assert "amount" in report
    assert "<b>" not in report.replace("<body>", "")
    assert "http" not in report, "no request leaves it"
    told = cli(*asked, "moved.csv", "--json").json
    alerts = [f["name"] for f in told["result"]["features"] if f["status"] == "alert"]
    assert (alerts, told["errors"][0]["code"]) == (["*", "amount"], "FS395")


def test_windows_draws_and_thresholds(cli: Cli, sides: Path):
    asked = ("drift", "--reference", "usual.parquet", "--current", "moved.parquet", "--threshold", "amount.ks=0.4")
    assert cli(*asked, "--no-tests").code == 0
    assert cli(*asked, "--threshold", "*.psi=0.2", "--no-tests").code == 1
    by_day = cli(*asked, "--window", "5d", "--step", "1d", "--sample", "2000", "--alpha", "0.001")
    assert by_day.code == 0
    assert "2026-01-01T00:00Z to 2026-01-06T00:00Z" in by_day.out
    assert "drawn: a KS distance lies within ±0.0662" in by_day.out


def test_a_manifest_says_which_columns_are_features_and_which_is_the_label(cli: Cli, project: Path):
    build = ("build", "fraud_v1", "--spine", "data/spine.parquet", "--label", "label", "--output", "train.parquet")
    assert cli(*build).code == 0
    told = cli("drift", "--reference", "train.parquet", "--current", "train.parquet", "--json").json["result"]["features"]
    names = {f["name"]: f["label"] for f in told}
    assert names["label"]
    assert "amount_sum_7d" in names
    assert not {"as_of", "customer_id"} & set(names)


@pytest.mark.parametrize(
    "arguments, code, exit_code",
    [
        (("--current", "nowhere.parquet"), "FS392", 4),
        (("--current", "same.parquet", "--threshold", "amount.kl=1"), "FS390", 2),
        (("--current", "same.parquet", "--threshold", "amuont.ks=1"), "FS393", 2),
        (("--current", "same.parquet", "--step", "1d"), "FS398", 2),
        (("--current", "same.parquet", "--window", "1y"), "FS211", 2),
        (("--current", "same.parquet", "--alpha", "1"), "FS102", 2),
        (("--current", "same.parquet", "--output", "report.pdf"), "FS106", 2),
        (("--current", "same.parquet", "--service", "fraud_v9"), "FS101", 2),
        (("--current", "same.parquet", "--as-of-column", "when", "--window", "1d"), "FS393", 2),
    ],
)
def test_drift_that_cannot_be_asked_for(cli: Cli, sides: Path, arguments, code, exit_code):
    said = cli("drift", "--reference", "usual.parquet", *arguments, "--json")
    assert (said.code, said.json["errors"][0]["code"]) == (exit_code, code)


def log(folder: Path, shift: float, rows: int = 1_200) -> None:
    """Rows that a server has served of `risk`, one every hour from T on."""
    rng = np.random.default_rng(4)
    shared = {"served_at": 0, "latency_us": 5, "fingerprint": "f", "watermarks": "{}", "request_id": "r", "sampled": 1.0}
    made = {"t": pa.array([T + HOUR * n for n in range(rows)], layout.COLUMNS["t"])}
    for name, value in shared.items():
        plain = pa.array([value] * rows, pa.int64() if name == "served_at" else layout.COLUMNS[name])
        made[name] = plain.cast(layout.COLUMNS[name])
    made["key.customer"] = pa.array([n % 7 for n in range(rows)])
    for name, values in (("count_7d", rng.poisson(3, rows)), ("score", rng.normal(shift, size=rows))):
        made[name], made[f"{name}__status"] = values, ["present"] * rows
    writer = Writer(folder, lambda served: (Piece(s, "f", t) for s, t in served), Limits(10**4, 3_600, 10**15, 10**9))
    writer.add(("risk", pa.table(made)), rows)
    writer.close(10)


def test_served_rows_are_a_side(cli: Cli, project: Path):
    log(project / ".featurestore" / "serve_log", 0.0)
    halves = "serve-log:risk@..2026-01-26", "serve-log:risk@2026-01-26..2026-02-20T00:00:00Z"
    said = cli("drift", "--reference", halves[0], "--current", halves[1], "--json")
    assert said.code == 0
    told = said.json["result"]
    assert (told["reference"]["rows"], told["current"]["rows"]) == (600, 600)
    assert {f["name"] for f in told["features"]} == {"*", "count_7d", "score"}
    drawn = cli("drift", "--reference", halves[0], "--current", halves[1], "--sample", "200", "--json").json["result"]
    assert (drawn["current"]["rows"], drawn["current"]["drawn"]) == (600, 200)
    by_week = cli("drift", "--reference", halves[0], "--current", halves[1], "--window", "7d", "--json").json["result"]
    assert len({tuple(f["window"]) for f in by_week["features"]}) == 5
    none = cli("drift", "--reference", halves[0], "--current", "serve-log:risk@2030-01-01..", "--json").json["result"]
    assert {f["what"] for f in none["features"]} == {"0 rows in serve-log:risk@2030-01-01.., 100 needed"}
    for wrong in ("serve-log:nobody", "serve-log:risk@soon", "serve-log:"):
        assert cli("drift", "--reference", wrong, "--current", halves[1], "--json").json["errors"][0]["code"] == "FS394"


def test_a_profile_is_a_side(cli: Cli, sides: Path):
    for name in ("same", "moved"):
        Profile.of(pq.read_table(f"{name}.parquet")).write(f"{name}.parquet.profile")
    asked = ("drift", "--reference", "usual.parquet", "--current")
    assert cli(*asked, "same.parquet.profile").code == 0
    said = cli(*asked, "moved.parquet.profile", "--output", "drift.html")
    assert (said.code, said.err.splitlines()[-1]) == (1, "FS395 drifted: amount · in moved.parquet.profile")
    assert cli(*asked, "usual.profile", "--json").json["errors"][0]["code"] == "FS160"


# Performance.


def service(facts: list[tuple[int, datetime, datetime]]) -> FeatureService:
    """Whether a refund happens within a day; facts: (customer, happened, known)."""
    columns = list(zip(*facts, strict=True)) or [(), (), ()]
    times = [pa.array(column, pa.timestamp("us", "UTC")) for column in columns[1:]]
    table = pa.table({"customer": pa.array(columns[0], pa.int64()), "e": times[0], "k": times[1]})
    customer = Entity(name="customer", join_keys=["customer"])
    refunds = ArrowSource(name="refunds", table=table, event_timestamp="e", created_timestamp="k")
    view = FeatureView(name="past", entities=[customer], source=refunds, features=[agg.count(window="7d")])
    label = LabelView(
        name="refunded", entities=[customer], source=refunds, label=agg.count(window="1d", name="refunds_1d"), settle="2d"
    )
    return FeatureService(name="risk", features=[view], labels=[label])


def predictions(score=lambda n: n / 40) -> pa.Table:
    at = pa.array([T + HOUR * 3 * n for n in range(40)], pa.timestamp("us", "UTC"))
    return pa.table({"customer": pa.array([n % 7 for n in range(40)]), "as_of": at, "score": [score(n) for n in range(40)]})


def facts() -> list[tuple[int, datetime, datetime]]:
    rng = np.random.default_rng(3)
    made = [(int(rng.integers(0, 7)), T + HOUR * int(rng.integers(0, 150)), int(rng.integers(1, 47))) for _ in range(60)]
    return [(customer, at, at + HOUR * late) for customer, at, late in made]


def by_hand(known: list, cutoff: datetime) -> dict[str, float]:
    """AUC of each day all whose labels are settled at the cut-off, pair by pair."""
    rows, found = predictions().to_pylist(), {}
    until = min(cutoff, max(k for _, _, k in known)) - 3 * DAY
    for day in sorted({row["as_of"].date() for row in rows}):
        of = [row for row in rows if row["as_of"].date() == day]
        if any(row["as_of"] > until for row in of):
            continue
        truth = [any(c == r["customer"] and r["as_of"] <= e < r["as_of"] + DAY and k < cutoff for c, e, k in known) for r in of]
        pairs = [
            1.0 if p["score"] > n["score"] else 0.5 if p["score"] == n["score"] else 0.0
            for p, yes in zip(of, truth, strict=True) for n, other in zip(of, truth, strict=True) if yes and not other
        ]  # fmt: skip
        found[str(day)] = sum(pairs) / len(pairs)
    return found


@pytest.mark.parametrize("hours", [85, 100, 130, 400])
def test_only_settled_labels_of_that_instant_are_judged(hours):
    known, cutoff = facts(), T + HOUR * hours
    store = FeatureStore(definitions=[service(known)])
    asked = {"metrics": ["auc"], "min_rows": 1, "known_before": cutoff.isoformat()}
    found = store.performance(predictions(), "risk", **asked)
    judged = {day.to_json()["day"]: day.metrics["auc"] for day in found.days if day.metrics}
    assert judged == pytest.approx(by_hand(known, cutoff))
    assert (hours == 85) == (len(judged) == 0)
    later = [(c, e, k) for c, e, k in known if k < cutoff] + [(n % 7, T + HOUR * n, cutoff + HOUR * n) for n in range(60)]
    moved = FeatureStore(definitions=[service(later)]).performance(predictions(), "risk", **asked)
    assert {d.to_json()["day"]: d.metrics["auc"] for d in moved.days if d.metrics} == judged, (
        "what was known later moves nothing"
    )


def test_by_default_nothing_counts_that_is_not_known_yet():
    """A fact dated years ahead settles no label."""
    known = facts()
    now = FixedClock(round((T + 5 * DAY).timestamp()) * 10**6)
    ahead = FeatureStore(definitions=[service([*known, (3, T + 9_999 * DAY, T + 9_999 * DAY)])], clock=now)
    plain = FeatureStore(definitions=[service(known)])
    asked = {"metrics": ["auc"], "min_rows": 1}
    found = ahead.performance(predictions(), "risk", **asked)
    expected = plain.performance(predictions(), "risk", **asked, known_before=now.micros + 1)
    assert {day.status for day in found.days} == {"ok", "skipped"}
    assert found.to_json()["days"] == expected.to_json()["days"]


def test_naive_instants_are_read_in_the_zone_that_is_asked_for_and_never_mixed():
    store = FeatureStore(definitions=[service(facts())])
    naive = predictions().set_column(1, "as_of", predictions()["as_of"].cast(pa.timestamp("us")))
    usual = store.performance(predictions(), "risk", metrics=["auc"], min_rows=1).to_json()
    assert store.performance(naive, "risk", metrics=["auc"], min_rows=1).to_json() == usual
    shifted = store.performance(naive, "risk", metrics=["auc"], min_rows=1, timezone="America/New_York").to_json()
    assert [d["rows"] for d in shifted["days"]] != [d["rows"] for d in usual["days"]]
    text = [f"2026-01-01T00:0{n % 10}:00" + ("Z" if n else "") for n in range(40)]
    with pytest.raises(FeatureStoreError, match="and others without") as refused:
        store.performance(predictions().set_column(1, "as_of", pa.array(text)), "risk")
    assert refused.value.code == "FS396"


def test_predictions_that_cannot_be_judged():
    store = FeatureStore(definitions=[service(facts())])
    for given, asked in (
        (predictions(), {"score": "scroe"}),
        (predictions(), {"label": "refunds_2d"}),
        (predictions().drop_columns(["customer"]), {}),
        (predictions(score=str), {}),
        (predictions(score=lambda n: n), {"metrics": ["logloss"], "min_rows": 1}),
    ):
        with pytest.raises(FeatureStoreError) as refused:
            store.performance(given, "risk", **asked)
        assert refused.value.code == "FS396"


def test_served_scores_are_judged(tmp_path: Path):
    """A feature that was served is the score; the same rows in a file are judged alike."""
    known = facts()
    (tmp_path / "featurestore.toml").write_text('[project]\nname = "x"\n')
    log(tmp_path / ".featurestore" / "serve_log", 0.0, rows=96)
    store = FeatureStore(definitions=[service(known)])
    store.root = tmp_path
    served = store.performance("serve-log:risk", "risk", metrics=["auc"], min_rows=1)
    rows = serve_log.read(tmp_path / ".featurestore" / "serve_log", "risk", -(2**62), 2**62)
    file = pa.table({"customer": rows["key.customer"], "as_of": rows["t"], "score": rows["score"]})
    assert served.to_json() == store.performance(file, "risk", metrics=["auc"], min_rows=1).to_json()
    assert len([day for day in served.days if day.metrics]) > 1


def test_performance_is_a_command(cli: Cli, project: Path):
    said = cli("performance", "--service", "fraud_v1", "--predictions", "data/spine.parquet", "--score", "amount", "--json")
    assert (said.code, said.json["errors"][0]["code"]) == (2, "FS396")
    assert "has no label view" in said.json["errors"][0]["what"]
    (project / "registry" / "labels.py").write_text(
        "from featurestore import FeatureService, LabelView, ParquetSource, agg\n"
        "from .payments import card_payments, customer, merchant\n"
        'disputes = ParquetSource(name="disputes", path="data/disputes.parquet", event_timestamp="disputed_at",'
        ' created_timestamp="reported_at")\n'
        'label = LabelView(name="disputed", entities=[customer, merchant], source=disputes, settle="10d",'
        ' label=agg.count(window="30d", name="disputes_30d"))\n'
        'risk = FeatureService(name="risk", features=[card_payments], labels=[label])\n'
    )
    asked = ("performance", "--service", "risk", "--predictions", "data/spine.parquet", "--score", "amount", "--slice", "60d")
    said = cli(*asked, "--min-rows", "5", "--threshold", "mae=0.0001", "--record")
    kept = recent(project / ".featurestore" / "monitor", 0)
    assert {(r.check, r.subject, r.feature) for r in kept} == {("performance", "risk", "amount")}
    assert "alert" in {r.status for r in kept}
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith("FS397 ")
    assert "immature" in cli(*asked, "--min-rows", "5", "--known-before", "2025-08-01T00:00:00Z").out
    assert cli(*asked, "--slice", "soon").code == 2
    assert cli(*asked, "--threshold", "mae").code == 2
