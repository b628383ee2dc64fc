"""`featurestore prove` by stories: what is right is proven in whatever form it lies, a leak is named, no proof no success."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import (
    ArrowSource,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    LabelView,
    OnDemandFeatureView,
    ParquetSource,
    agg,
    latest,
)
from tests.functional.conftest import contents
from tests.mutants.planted import NAMED, planted

SPINE = "data/spine.parquet"
START = datetime(2025, 3, 1, tzinfo=UTC)
who, what = Entity(name="who", join_keys=["who"]), Entity(name="what", join_keys=["what"])


# On the command line.


def test_a_project_is_proven_and_left_as_it_was(cli, project):
    before = contents(project)
    said = cli("prove", "fraud_v1", "--spine", SPINE, "--probes", 1, "--json")
    assert said.code == 0, said.err
    result = said.json["result"]
    assert (result["moved"], result["unseen"], result["seed"]) == (0, [], 0)
    assert {p["outcome"] for p in result["probes"]} == {"held"}
    assert [p["name"] for p in result["probes"] if p["pivot"] == "customer_id"] == [
        f"{kind}, by customer_id" for kind in ("deleted", "changed", "delayed", "added")
    ]
    assert all(p["touched"]["payments"] > 0 for p in result["probes"] if p["pivot"] == "customer_id")
    assert all(sum(p["control"]["moved"].values()) > 0 for p in result["probes"] if p["control"])
    assert contents(project) == before
    assert not list((project / ".featurestore" / "tmp").glob("*"))


@pytest.mark.slow
def test_rows_that_were_pushed_are_touched_too(cli, project):
    rows = pq.read_table(project / "data/payments/2025-12.parquet").slice(0, 3).drop_columns(["loaded_at"])
    FeatureStore(project).push("payments", rows)
    spine = pq.read_table(project / SPINE).slice(0, 200).to_pylist()
    for row in spine[::2]:
        row["as_of"] = datetime.now(UTC) + timedelta(days=1)
    pq.write_table(pa.Table.from_pylist(spine), "mixed.parquet")
    said = cli("prove", "fraud_v1", "--spine", "mixed.parquet", "--probes", 1, "--json")
    assert said.code == 0, said.err
    assert said.json["result"]["probes"][0]["touched"]["payments"] == 2_003 + len(pq.read_table("data/payments")) - 2_000


def test_a_leak_is_named_with_row_key_and_both_cells(cli, project):
    with planted(NAMED["timeline_by_event"]):
        said = cli("prove", "fraud_v1", "--spine", SPINE, "--probes", 1, "--seed", 7)
    assert said.code == 1
    assert "FS136" in said.err
    assert "card_country" in said.err
    assert "by customer_id (seed 7): rows that count only later are gone" in said.out
    row, customer = re.findall(r"row (\d+) of the spine \(from 0\), customer_id=(\d+)", said.out)[0]
    assert pq.read_table(SPINE)["customer_id"][int(row)].as_py() == int(customer)
    assert re.search(r"    before  .* \(.*\n    after   .* \(", said.out)


def test_without_a_row_to_touch_nothing_is_proven(cli, project):
    pq.write_table(pq.read_table(SPINE).slice(0, 0), "empty.parquet")
    said = cli("prove", "fraud_v1", "--spine", "empty.parquet", "--probes", 1)
    assert said.code == 1
    assert "FS137 nothing could be proven of fraud_v1: no source row counts after any instant of the spine" in said.err
    assert "nothing to probe" in said.out


@pytest.mark.parametrize(
    "arguments, code, error",
    [
        (["fraud_v2", "--spine", SPINE], 2, "FS101"),
        (["fraud_v1", "--spine", SPINE, "--probes", "0"], 2, "FS102"),
        (["fraud_v1", "--spine", SPINE, "--timezone", "Mars"], 2, "FS212"),
        (["fraud_v1", "--spine", SPINE, "--memory-limit", "much"], 2, "FS102"),
        (["fraud_v1", "--spine", "nowhere.parquet"], 4, "FS301"),
        (["fraud_v1", "--spine", SPINE, "--as-of-column", "when"], 4, "FS303"),
        (["fraud_v1"], 2, "FS100"),
    ],
)
def test_what_is_typed_wrong_is_said(arguments, code, error, cli, project):
    said = cli("prove", *arguments)
    assert said.code == code
    assert said.err.splitlines()[-1].startswith(error)


# In whatever form the facts lie.


def facts(count: int = 300) -> dict[str, list[Any]]:
    rng = Random("facts")
    e = [START + timedelta(seconds=rng.randrange(20 * 86_400)) for _ in range(count)]
    k = [t + timedelta(seconds=rng.choice((-3600, 0, 0, 60, 90_000))) for t in e]
    return {
        "who": [rng.randrange(8) for _ in range(count)],
        "what": [rng.choice("pqr") for _ in range(count)],
        "E": e,
        "k": k,
        "x": [rng.choice((1.0, 2.5, None, float("nan"))) for _ in range(count)],
        "tags": [[rng.randrange(3)] * rng.randrange(3) for _ in range(count)],
        "on": [t.date() for t in e],
        "fact": [f"f{rng.randrange(200)}" for _ in range(count)],
    }


def spine(count: int = 60) -> pa.Table:
    rng = Random("spine")
    at = [START + timedelta(seconds=rng.randrange(4 * 86_400, 20 * 86_400)) for _ in range(count)]
    keys = {"who": [rng.randrange(9) for _ in range(count)], "what": [rng.choice("pqs") for _ in range(count)]}
    amount = [rng.random() for _ in range(count)]
    return pa.table({**keys, "as_of": pa.array(at, pa.timestamp("us", "UTC")), "amount": amount})


def texts(times: list[datetime]) -> pa.Array:
    return pa.array([t.isoformat() for t in times])


def counted(times: list[datetime]) -> pa.Array:
    return pa.array([int(t.timestamp()) for t in times], pa.int64())


def naive(unit: str) -> Any:
    return lambda times: pa.array([t.replace(tzinfo=None) for t in times], pa.timestamp(unit))


def dates(times: list[datetime]) -> pa.Array:
    return pa.array([t.date() for t in times], pa.date32())


FORMS = {
    "text": (texts, {"time_format": "iso8601"}),
    "seconds": (counted, {"time_unit": "s"}),
    "nanoseconds of a zone": (naive("ns"), {"timezone": "America/New_York"}),
    "dates": (dates, {"timezone": "Asia/Kathmandu"}),
}


def proven(asked: FeatureService, rows: pa.Table | None = None) -> Any:
    found = FeatureStore(definitions=[asked]).prove(asked, spine() if rows is None else rows, probes=1)
    assert found.ok, [p.to_dict() for p in found.probes if p.outcome != "held"]
    return found


@pytest.mark.parametrize(
    "row_key", [pytest.param([], marks=pytest.mark.slow, id="facts"), pytest.param(["fact"], id="versions")]
)
def test_times_may_be_written_in_any_form(row_key, tmp_path: Path):
    """A view of each form."""
    views = []
    for number, (write, options) in enumerate(FORMS.values()):
        rows, folder = facts(), tmp_path / str(number)
        rows |= {"E": write(rows["E"]), "k": write(rows["k"]), "tags": pa.array(rows["tags"], pa.list_(pa.int64()))}
        folder.mkdir()
        pq.write_table(pa.table(rows).slice(0, 200), folder / "a.parquet")
        pq.write_table(pa.table(rows).slice(200), folder / "b.parquet")
        source = ParquetSource(
            name=f"facts_{number}", path=str(folder / "*.parquet"), event_timestamp="E", created_timestamp="k",
            row_key=row_key, **options,
        )  # fmt: skip
        features = [latest("x"), latest("tags"), agg.count(window="5d")]
        view = FeatureView(name=f"view_{number}", entities=[who], source=source, features=features)
        views.append(view.with_prefix(f"v{number}_"))
    assert not proven(FeatureService(name="service", features=views)).unseen


def test_each_way_of_looking_up_is_probed_apart_and_labels_may_look_ahead():
    rows = facts()
    table = pa.table({**rows, "tags": pa.array(rows["tags"], pa.list_(pa.int64()))})
    source = ArrowSource(name="facts", table=table, event_timestamp="E", delay="1h")
    fixed = ArrowSource(name="fixed", table=pa.table({"what": list("pqr"), "size": [1, 2, 3]}), static=True)
    by_who = FeatureView(name="by_who", entities=[who], source=source, features=[agg.sum("x", window="5d")])
    by_both = FeatureView(name="by_both", entities=[who, what], source=source, features=[latest("x", name="both_x")])
    overall = FeatureView(name="overall", source=source, allow_exact_matches=True, features=[agg.count(window="1d")])
    size = FeatureView(name="size_of", entities=[what], source=fixed, features=[latest("size")])
    ratio = OnDemandFeatureView(
        name="ratio", inputs=[by_who, by_both], request={"amount": "double"}, features={"r": "amount * both_x + x_sum_5d"}
    )
    label = LabelView(name="soon", entities=[who], source=source, label=agg.count(window="1d", name="soon_1d"))
    views = [by_who, by_both, overall, size, by_who[["x_sum_5d"]].alias("again").with_prefix("again_"), ratio]
    found = proven(FeatureService(name="service", features=views, labels=[label]))
    assert {p.pivot for p in found.probes if p.pivot} == {"who", "what, who", "one global row", "the whole spine"}
    assert "size" not in found.features
    assert {"r", "both_x", "again_x_sum_5d"} < set(found.features)
    assert not found.unseen


@pytest.mark.slow
def test_one_seed_draws_the_same_and_another_does_not():
    rows = pa.table({name: facts()[name] for name in ("who", "E", "x")})
    source = ArrowSource(name="facts", table=rows, event_timestamp="E", delay="0s")
    asked = FeatureService(
        name="service", features=[FeatureView(name="view", entities=[who], source=source, features=[latest("x")])]
    )
    store = FeatureStore(definitions=[asked])
    one, same, other = (store.prove(asked, spine(), probes=1, seed=seed).to_dict() for seed in (1, 1, 2))
    assert one == same
    assert [p["rows"] for p in one["probes"]] != [p["rows"] for p in other["probes"]]


def test_a_service_without_history_has_nothing_to_prove():
    fixed = ArrowSource(name="fixed", table=pa.table({"what": list("pqr"), "day": [date(2025, 1, 1)] * 3}), static=True)
    asked = FeatureService(
        name="service", features=[FeatureView(name="view", entities=[what], source=fixed, features=[latest("day")])]
    )
    found = FeatureStore(definitions=[asked]).prove(asked, spine(), probes=1)
    assert not found.ok
    assert (found.moved, found.held, found.features) == (0, 0, ())
