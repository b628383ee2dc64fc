"""`featurestore audit` by stories: what is clean is found clean, each planted leak gets its cause and its source row, nobody
else is accused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from featurestore import (
    ArrowSource,
    FeatureService,
    FeatureStore,
    FeatureView,
    OnDemandFeatureView,
    agg,
    latest,
)
from featurestore.audit.findings import Audit
from featurestore.cli.app import run
from featurestore.errors import FeatureStoreError, SpineError, UsageError
from tests.mutants.judged import SPINE, STORIES, T0, honest, instants, spine, store_of, thing


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return store_of(tmp_path)


def planted(store: FeatureStore, feature: str, value: Any, row: int = 0) -> Audit:
    """An audit of the honest set with one cell changed."""
    frame = honest(store)
    frame[row, feature] = value
    found = store.audit(frame, "service")
    assert {name for name, f in found.features.items() if set(f.causes) != {"exact"}} == {feature}
    assert found.features[feature].causes["exact"] == len(frame) - 1
    return found


def cause(found: Audit, feature: str) -> str:
    [wrong] = [cause for cause in found.features[feature].causes if cause != "exact"]
    return wrong


def test_an_honest_set_is_exact_and_nothing_is_said_against_it(store: FeatureStore) -> None:
    found = store.audit(honest(store), "service")
    assert (found.ok, found.leaks, found.rows, found.examples, found.suspicions) == (True, 0, len(SPINE), [], [])
    assert found.causes() == {"exact": 6 * len(SPINE)}


@pytest.mark.parametrize("story", STORIES)
def test_planted_cells_get_their_cause_and_the_source_row_that_explains_them(story: str, tmp_path: Path) -> None:
    STORIES[story](tmp_path)


def test_a_view_that_sees_facts_at_as_of_is_not_accused_of_them(tmp_path: Path) -> None:
    store = store_of(tmp_path, allow_exact_matches=True)
    assert honest(store)["x"][0] == 4.5
    assert store.audit(honest(store), "service").ok
    assert cause(planted(store, "x", 5.5), "x") == "future"
    assert cause(planted(store, "x", 2.5), "x") == "stale"


def test_of_versions_one_that_was_not_known_yet_is_a_leak_and_one_that_was_replaced_is_stale() -> None:
    rows = {"id": [1, 1, 1, 2], "k": [1, 1, 1, 1], "e": instants([10] * 3 + [5]), "c": instants([20, 30, 500, 25]),
            "x": [1.5, 2.5, 3.5, 4.5]}  # fmt: skip
    source = ArrowSource(name="facts", table=pa.table(rows), event_timestamp="e", created_timestamp="c", row_key=["id"])
    view = FeatureView(
        name="view", entities=[thing], source=source, features=[latest("x"), agg.sum("x", window=None, name="s")]
    )
    store = FeatureStore(definitions=[FeatureService(name="service", features=[view])])
    asked = pa.table({"k": [1], "as_of": instants([300])})
    good = honest(store, asked)
    assert (good["x"][0], good["s"][0]) == (2.5, 7.0)
    for feature, value, expected in [
        ("x", 3.5, "late_known"),
        ("x", 1.5, "stale"),
        ("s", 8.0, "late_known"),
        ("s", 6.0, "stale"),
    ]:
        bad = good.clone()
        bad[0, feature] = value
        found = store.audit(bad, "service")
        assert cause(found, feature) == expected, (feature, value)
        [example] = found.examples
        row = {3.5: 2, 1.5: 0, 8.0: 2}.get(value)  # of a stale window no single row is to blame
        assert (example.source and (example.source["file"], example.source["row"])) == (None if row is None else ("facts", row))


def test_where_values_are_of_few_kinds_the_reason_that_explains_most_cells_is_believed(tmp_path: Path) -> None:
    """A flag is found almost anywhere by chance: a stale column is no leak, and a leaking one is."""
    facts = [(1, 10 * n, 10 * n + 1, float(n * n % 7 < 3), "w") for n in range(400)]
    store = store_of(tmp_path, facts, ttl=None)
    rows = [(1, 10 * n + 5) for n in range(50, 150)]
    good, behind, ahead = (honest(store, spine([(k, t + by) for k, t in rows])) for by in (0, -10, 10))
    for shifted, direction in ((behind, "stale"), (ahead, "future")):
        found = store.audit(good.with_columns(shifted["x"]), "service")
        assert set(found.features["x"].causes) == {"exact", direction}
        assert found.features["x"].causes["exact"] == (good["x"] == shifted["x"]).sum()


def test_an_on_demand_feature_leaks_through_one_of_its_views_though_both_are_right_themselves() -> None:
    def view(name: str, column: str) -> FeatureView:
        rows = {"k": [1] * 9, "e": instants([100 * n for n in range(9)]), column: [float(n * n + len(name)) for n in range(9)]}
        source = ArrowSource(name=f"{name}_facts", table=pa.table(rows), event_timestamp="e", delay="0s")
        return FeatureView(name=name, entities=[thing], source=source, features=[latest(column)])

    one, other = view("one", "x"), view("other", "y")
    gap = OnDemandFeatureView(name="gap", inputs=[one, other], features={"gap": "x - 3 * y"})
    store = FeatureStore(definitions=[FeatureService(name="service", features=[one, other, gap])])
    good = honest(store, pa.table({"k": [1, 1, 1], "as_of": instants([150, 250, 350])}))
    leaking = good.with_columns((pl.col("x") - 3 * (64.0 + len("other"))).alias("gap"))
    found = store.audit(leaking, "service")
    assert found.features["gap"].causes == {"exact": 0, "future": 3}
    assert found.features["gap"].why == {"of the last fact there is in other": 3}


def test_static_features_have_no_history_to_explain_them(tmp_path: Path) -> None:
    source = ArrowSource(name="profile", table=pa.table({"k": [1, 2], "grade": ["a", "b"]}), static=True)
    view = FeatureView(name="view", entities=[thing], source=source, features=[latest("grade")])
    store = FeatureStore(definitions=[FeatureService(name="service", features=[view])])
    good = honest(store, pa.table({"k": [1, 2, 3], "as_of": instants([1, 2, 3])}))
    assert store.audit(good, "service").ok
    bad = good.with_columns(pl.Series("grade", ["a", "a", None]))
    assert store.audit(bad, "service").features["grade"].causes == {"exact": 2, "unexplained": 1}


# Rows and columns.


def test_rows_may_come_in_any_order_and_duplicates_of_the_spine_are_its_own(store: FeatureStore) -> None:
    asked = pa.concat_tables([spine(), spine()])
    assert store.audit(honest(store, asked).sample(fraction=1.0, shuffle=True, seed=1), "service", spine=asked).ok


def test_a_renamed_column_fails_until_it_is_mapped(store: FeatureStore) -> None:
    renamed = honest(store).rename({"x": "view__x", "k": "key"})
    with pytest.raises(SpineError, match="no column 'k'"):
        store.audit(renamed, "service")
    found = store.audit(renamed, "service", renamed={"key": "k"})
    assert found.features["x"].causes == {"exact": 0, "unmatched": 6}
    assert (found.ok, found.leaks) == (False, 0)
    assert "--map view__x=x" in found.warnings[0]
    assert store.audit(renamed, "service", renamed={"key": "k", "view__x": "x"}).ok


def test_a_column_that_is_nobodys_fails_where_the_spine_says_so(store: FeatureStore) -> None:
    extra = honest(store).with_columns(pl.lit(1).alias("leak_of_mine"))
    assert store.audit(extra, "service").not_audited == ["leak_of_mine"]
    found = store.audit(extra, "service", spine=spine())
    assert found.features["leak_of_mine"].causes == {"exact": 0, "unmatched": 6}
    assert not found.ok


def test_an_empty_set_is_exact(store: FeatureStore) -> None:
    assert store.audit(honest(store).clear(), "service").ok


# Files of others.


def by_pandas(facts: pd.DataFrame, asked: pd.DataFrame, **options: Any) -> pd.DataFrame:
    left, right = asked.sort_values("as_of", kind="stable"), facts.sort_values("at", kind="stable")
    return pd.merge_asof(left, right[["k", "at", "x"]], left_on="as_of", right_on="at", by="k", **options).drop(columns="at")


@pytest.fixture
def plain(tmp_path: Path) -> tuple[FeatureStore, pd.DataFrame, pd.DataFrame]:
    """Facts known a microsecond after they happen, as a notebook has them: a store, the facts and a spine as frames."""
    facts = pd.DataFrame({"k": [1, 1, 2, 2, 3], "at": pd.to_datetime([0, 60, 0, 120, 60], unit="s", utc=True),
                          "x": [0.1, 0.2, 0.3, None, 7.0]})  # fmt: skip
    facts["at"] = facts["at"].astype("datetime64[us, UTC]")
    source = ArrowSource(name="facts", table=facts, event_timestamp="at", delay="0s")
    view = FeatureView(name="view", entities=[thing], source=source, features=[latest("x"), agg.sum("x", window="90s")])
    store = FeatureStore(definitions=[FeatureService(name="service", features=[view])])
    asked = pd.DataFrame({"k": [1, 1, 2, 3, 9], "as_of": pd.to_datetime([60, 61, 121, 60, 60], unit="s", utc=True)})
    asked["as_of"] = asked["as_of"].astype("datetime64[us, UTC]")
    return store, facts, asked


def sums(facts: pd.DataFrame, asked: pd.DataFrame) -> list[float | None]:
    found = []
    for _, row in asked.iterrows():
        seen = facts[(facts.k == row.k) & (facts["at"] < row.as_of) & (facts["at"] >= row.as_of - pd.Timedelta("90s"))]
        found.append(seen.x.sum() if seen.x.notna().any() else None)
    return found


def test_a_csv_from_pandas_is_clean_if_its_join_is_strict_and_leaks_if_it_is_not(plain: Any, tmp_path: Path) -> None:
    store, facts, asked = plain
    for exact, leaks in ((False, 0), (True, 2)):
        made = by_pandas(facts, asked, allow_exact_matches=exact)
        made["x_sum_90s"] = sums(facts, made)
        made["k"] = made["k"].astype(float)  # as pandas makes of keys beside a missing one
        made.to_csv(tmp_path / "set.csv", index=False)
        found = store.audit(tmp_path / "set.csv", "service")
        assert (found.ok, found.leaks, found.features["x"].leaks) == (leaks == 0, leaks, leaks)


def test_sums_of_doubles_may_differ_in_their_last_digits_in_files_of_others_alone(plain: Any, tmp_path: Path) -> None:
    store, _, asked = plain
    store.build_training_set("service", asked, output=tmp_path / "ours.parquet")
    good = pl.read_parquet(tmp_path / "ours.parquet")
    nudged = good.with_columns(pl.when(pl.col("x_sum_90s") > 0).then(pl.col("x_sum_90s") * (1 + 4e-16)).otherwise(None)
                               .alias("x_sum_90s"))  # fmt: skip
    found = store.audit(nudged, "service")
    assert (found.ok, found.features["x_sum_90s"].rounded > 0) == (True, True)
    assert not store.audit(nudged, "service", tolerance=0).ok
    off = good.with_columns(pl.col("x") * (1 + 4e-16))
    assert not store.audit(off, "service").ok  # a latest value is nobody's sum
    assert store.audit(tmp_path / "ours.parquet", "service").ok


def test_other_spellings_of_the_same_values_are_the_same(store: FeatureStore) -> None:
    good = honest(store)
    other = good.with_columns(
        pl.col("n").cast(pl.Float64), pl.col("x").fill_null(float("nan")), pl.col("as_of").dt.replace_time_zone(None),
        pl.col("word").cast(pl.Categorical), pl.col("k").cast(pl.Int16),
    )  # fmt: skip
    assert store.audit(other, "service").ok
    words = good.with_columns(pl.col("n").cast(pl.String) + "x")
    assert store.audit(words, "service").features["n"].causes == {"exact": 0, "unexplained": 6}


def test_the_cut_off_and_lag_of_a_set_are_read_from_its_manifest(store: FeatureStore, tmp_path: Path) -> None:
    store.build_training_set("service", spine(), known_before=T0 + 107, serving_lag="1us", output=tmp_path / "set.parquet")
    assert pl.read_parquet(tmp_path / "set.parquet")["x"][0] == 9.5
    assert store.audit(tmp_path / "set.parquet", "service").ok
    (tmp_path / "set.parquet.manifest.json").unlink()
    found = store.audit(tmp_path / "set.parquet", "service")
    assert (found.ok, found.leaks) == (False, 0)
    assert store.audit(tmp_path / "set.parquet", "service", known_before=T0 + 107, serving_lag="1us").ok


# Label and splits.


def labelled(store: FeatureStore, leak: bool) -> pl.DataFrame:
    rows = [(k, t) for k in (1, 2, 3) for t in range(0, 1000, 7)]
    frame = honest(store, spine(rows))
    label = pl.Series("label", [(17 * n) % 5 == 0 for n in range(len(frame))])
    leaked = pl.when(label).then(pl.lit(99.0)).otherwise(pl.col("best"))
    return frame.with_columns(label, (leaked if leak else pl.col("best")).alias("best"))


def test_a_feature_that_tells_more_of_the_label_than_its_honest_values_is_named(store: FeatureStore) -> None:
    clean = store.audit(labelled(store, leak=False), "service", label="label")
    assert (clean.ok, clean.suspicions) == (True, [])
    assert clean.label is not None
    assert clean.label["features"]["best"]["found"] == clean.label["features"]["best"]["honest"]
    found = store.audit(labelled(store, leak=True), "service", label="label")
    [suspicion] = found.suspicions
    assert (suspicion.kind, suspicion.severity, suspicion.feature) == ("label", "leak", "best")
    assert suspicion.measured["found"] > 0.98 > suspicion.measured["honest"]


def test_auc_and_correlation_are_those_of_the_textbook(store: FeatureStore) -> None:
    frame = labelled(store, leak=False)
    told = store.audit(frame, "service", label="label").label
    assert told is not None
    x, y = frame["total"].fill_null(float("-inf")).to_list(), frame["label"].to_list()
    pairs = [(a, b) for a, one in zip(x, y, strict=True) if one for b, other in zip(x, y, strict=True) if not other]
    area = sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)
    assert told["features"]["total"]["found"] == pytest.approx(max(area, 1 - area))
    numbers = frame.with_columns(pl.int_range(pl.len()).alias("label"))
    told = store.audit(numbers, "service", label="label").label
    assert told is not None
    assert told["measure"] == "correlation"
    ranks = pd.Series(x).rank().corr(pd.Series(range(len(x))).rank())
    assert told["features"]["total"]["found"] == pytest.approx(abs(ranks))


def split(frame: pl.DataFrame, side: pl.Expr) -> pl.DataFrame:
    return frame.with_columns(pl.when(side).then(pl.lit("train")).otherwise(pl.lit("test")).alias("split"))


def test_splits_that_leak_fail_and_one_by_time_does_not(store: FeatureStore) -> None:
    frame = labelled(store, leak=False)
    at = pl.col("as_of").dt.epoch("us") - T0
    by_time = store.audit(split(frame, at < 500), "service")
    assert by_time.ok
    assert {(s.kind, s.severity) for s in by_time.suspicions} == {("group", "warning")}
    at_random = store.audit(split(frame, pl.int_range(pl.len()) % 4 != 0), "service")
    assert [s.kind for s in at_random.suspicions if s.severity == "leak"] == ["time"]
    assert not at_random.ok
    twins = split(pl.concat([frame, frame.filter(at < 100)]), pl.int_range(pl.len()) < len(frame))
    assert "duplicates" in [s.kind for s in store.audit(twins, "service").suspicions if s.severity == "leak"]
    by_group = store.audit(split(frame, pl.col("k") == 1), "service", split="split")
    assert "group" not in [s.kind for s in by_group.suspicions]


@pytest.mark.parametrize(
    "change, options, code",
    [
        (lambda f: f, {"label": "nothing"}, "FS110"),
        (lambda f: f, {"label": "word"}, "FS110"),
        (lambda f: f, {"split": "nothing"}, "FS102"),
        (lambda f: f, {"split": "word"}, "FS102"),
        (lambda f: f, {"renamed": {"nothing": "x"}}, "FS102"),
        (lambda f: f, {"renamed": {"word": "x"}}, "FS102"),
        (lambda f: f, {"tolerance": -1.0}, "FS102"),
        (lambda f: f.with_columns(pl.lit(None).cast(pl.Datetime("us", "UTC")).alias("as_of")), {}, "FS300"),
        (lambda f: f.drop("as_of"), {}, "FS303"),
        (lambda f: f.drop("amount"), {}, "FS303"),
        (lambda f: f.with_columns(pl.lit("one").alias("k")), {}, "FS302"),
        (lambda f: f.with_columns(pl.lit(1.5).alias("k")), {}, "FS302"),
    ],
)  # fmt: skip
def test_what_cannot_be_audited_is_refused(
    store: FeatureStore, change: Callable[[pl.DataFrame], pl.DataFrame], options: dict[str, Any], code: str
) -> None:
    with pytest.raises(FeatureStoreError) as refused:
        store.audit(change(honest(store)), "service", **options)
    assert refused.value.code == code


def test_an_unknown_service_is_a_name_typed_wrong(store: FeatureStore) -> None:
    with pytest.raises(UsageError, match="FS101"):
        store.audit(honest(store), "servce")


# The command.


@pytest.fixture
def project(shop: Path, tmp_path: Path) -> Path:
    return shop


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_command_says_it_in_json_and_writes_a_page(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, bad, page = tmp_path / "train.parquet", tmp_path / "bad.csv", tmp_path / "audit.html"
    spine = project / "data" / "spine.parquet"
    shop = ["--project", str(project)]
    assert run(["build", "fraud_v1", "--spine", str(spine), "--output", str(train), "--quiet", *shop]) == 0
    capsys.readouterr()
    code, answer = command(capsys, "audit", str(train), "--service", "fraud_v1", "--spine", str(spine), *shop)
    assert (code, answer["ok"], answer["result"]["leaks"]) == (0, True, 0)
    assert all(set(causes) == {"exact"} for causes in answer["result"]["features"].values())
    good = pl.read_parquet(train)
    good.with_columns(pl.lit(123456.5).alias("amount_sum_7d")).rename({"count_1h": "c"}).write_csv(bad)
    code, answer = command(
        capsys, "audit", str(bad), "--service", "fraud_v1", "--map", "c=count_1h", "--output", str(page), *shop
    )
    assert (code, answer["ok"], answer["errors"][0]["code"]) == (1, False, "FS150")
    assert answer["result"]["features"]["amount_sum_7d"] == {"exact": 0, "unexplained": len(good)}
    assert answer["result"]["features"]["count_1h"] == {"exact": len(good)}
    assert "<svg" not in page.read_text()  # nothing leaks, so there is nothing to draw
    assert run(["audit", str(train), "--service", "fraud_v1", "--output", str(tmp_path / "a.txt"), *shop]) == 2
    assert run(["audit", str(train), "--service", "fraud_v1", "--map", "x", *shop]) == 2
    assert run(["audit", str(tmp_path / "none.csv"), "--service", "fraud_v1", *shop]) == 4


def test_the_page_shows_where_and_what_leaks(store: FeatureStore) -> None:
    from featurestore.audit.html import page

    frame = honest(store)
    frame[0, "x"], frame[0, "word"] = 5.5, "<next>"
    shown = page(store.audit(frame, "service"))
    assert shown.count("<svg") == 2
    assert "1 cells are leaks" in shown
    assert "&lt;next&gt;" in shown
    assert "b.parquet row 1" in shown
