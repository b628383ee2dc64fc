"""`featurestore verify --log` by stories: what was served right is found right, what was altered is named, the rest is told."""

from __future__ import annotations

import json
import random

import pyarrow as pa
import pytest

from featurestore import FeatureStore
from featurestore.intervals import FixedClock, format_instant
from featurestore.monitoring.skew import Skew
from tests.served import FEATURES, HOUR, SECOND, W, a_day, altered, answered, facts, log, project


def replayed(folder, **asked) -> Skew:
    return FeatureStore(folder, clock=FixedClock(W + 10 * HOUR)).verify_log(**asked)


def counted(found: Skew, feature: str, service: str = "service") -> tuple[int, int, int]:
    told = found.services[service].features[feature]
    return told.compared, told.mismatched, told.unverifiable.total()


def reasons(found: Skew) -> set[str]:
    return {reason for feature in found.features for reason in feature.unverifiable}


def test_what_was_served_is_found_right_with_its_microseconds_and_its_on_demand_features(tmp_path):
    store = project(tmp_path)
    served = a_day(store)
    statuses = set(served["x__status"].to_pylist())
    assert statuses == {"present", "expired", "not_found"}
    log(tmp_path, "service", served)
    found = replayed(tmp_path)
    assert (found.ok, found.mismatched, found.reasons) == (True, 0, {})
    assert {name: counted(found, name) for name in FEATURES} == dict.fromkeys(FEATURES, (400, 0, 0))
    assert found.services["service"].first == min(served["t"].cast(pa.int64()).to_pylist())


def test_one_altered_cell_in_a_thousand_is_found_and_no_other_is_accused(cli, tmp_path):
    served = a_day(project(tmp_path), rows=2_000)
    rng = random.Random(1)
    planted: dict[str, set[int]] = {name: set() for name in FEATURES}
    for cell in rng.sample(range(2_000 * len(FEATURES)), 10):
        planted[FEATURES[cell % len(FEATURES)]].add(cell // len(FEATURES))
    for name, rows in planted.items():
        values = served[name].to_pylist()
        served = altered(served, name, {row: (values[row] or 0) + 1 for row in rows})
    log(tmp_path, "service", served)
    said = cli("verify", "--log", "--json", "--project", tmp_path)
    assert (said.code, said.json["errors"][0]["code"]) == (1, "FS164")
    told = said.json["result"]["services"]["service"]["features"]
    assert {name: one["mismatched"] for name, one in told.items()} == {name: len(rows) for name, rows in planted.items()}
    assert (said.json["result"]["compared"], said.json["result"]["unverifiable"]) == (10_000, 0)
    accused = {(name, e["keys"]["k"], e["t"]) for name, one in told.items() for e in one["examples"]}
    keys, at = served["key.k"].to_pylist(), served["t"].cast(pa.int64()).to_pylist()
    assert accused <= {(name, keys[row], format_instant(at[row])) for name, rows in planted.items() for row in rows}
    assert len(accused) == 10
    text = cli("verify", "--log", "service", "--project", tmp_path).out
    assert "10 of" not in text
    assert "cause    value" in text


def test_a_microsecond_of_t_and_a_status_alone_are_told_from_each_other(tmp_path):
    store = project(tmp_path, keys=1)
    facts(tmp_path / "data" / "b.parquet", [(9_000, 7, W - HOUR // 2, W - HOUR // 2)])
    store.materialize(known_before=W, full=True)
    expires = W - HOUR // 2 + 2 * HOUR
    tables = [
        answered(store, "service", {"k": [7]}, t, amount=[1.0])
        for t in (expires, expires + 1, W + HOUR // 2, W + HOUR // 2 + 1)
    ]
    table = pa.concat_tables(tables)
    assert table["x__status"].to_pylist() == ["present", "expired", "present", "present"]
    assert table["number"].to_pylist() == [0, 0, 1, 0]
    late = table.set_column(
        0, "t", pa.array([expires + 1, expires, W + HOUR // 2 + 1, W + HOUR // 2], pa.int64()).cast(table["t"].type)
    )
    log(tmp_path, "service", late)
    told = replayed(tmp_path).services["service"].features
    boundary, read = {"boundary": 2}, {"input": 2}
    causes = {"x": boundary, "total": boundary, "number": boundary, "x_ratio": read, "hour": read}
    assert {name: dict(one.causes) for name, one in told.items()} == causes
    [example] = [e for e in told["x"].examples if e["t"] == format_instant(expires + 1)]
    assert (example["served"]["status"], example["truth"]["status"]) == ("present", "expired")


def test_cells_without_a_value_are_counted_apart(tmp_path):
    served = a_day(project(tmp_path), rows=20)
    for status, row in (("stale", 3), ("unavailable", 4)):
        for name in FEATURES:
            served = altered(altered(served, name, {row: None}), f"{name}__status", {row: status})
    log(tmp_path, "service", served)
    found = replayed(tmp_path)
    told = found.services["service"].features["x"]
    assert (found.ok, told.compared, told.stale, told.unavailable, told.mismatched) == (True, 18, 1, 1, 0)


def test_what_cannot_be_known_is_unverifiable_with_its_reason(tmp_path):
    store = project(tmp_path)
    right = a_day(store, rows=20)
    n = right.num_rows
    place = {name: right.column_names.index(name) for name in ("key.k", "fingerprint", "watermarks")}
    hashed = right.set_column(place["key.k"], "key_hash.k", pa.array([f"{i:032x}" for i in range(n)]))
    other = right.set_column(place["fingerprint"], "fingerprint", pa.array(["0" * 32] * n))
    forgotten = right.set_column(place["watermarks"], "watermarks", pa.array([json.dumps({"view": W - 1})] * n))
    for table in (right, hashed, other, forgotten, right.drop(["key.k"]), right.drop(["request.amount"])):
        log(tmp_path, "service", table)
    found = replayed(tmp_path)
    assert found.ok
    assert counted(found, "x") == (2 * n, 0, 4 * n)
    assert counted(found, "x_ratio") == (n, 0, 5 * n)
    assert reasons(found) == {
        "join keys are logged as hashes",
        "join keys are NULL, or redacted",
        "what the request brought is NULL, or redacted",
        "answered by another definition of the service than the store's now",
        "the generation it was answered from is forgotten",
    }


def test_a_source_file_that_changed_or_went_makes_no_difference_only_doubt(cli, tmp_path):
    log(tmp_path, "service", a_day(project(tmp_path), rows=20))
    facts(tmp_path / "data" / "a.parquet", [(1, 1, W - 5, W - 5)])
    said = cli("verify", "--log", "--json", "--project", tmp_path)
    assert (said.code, said.json["errors"][0]["code"], said.json["result"]["mismatched"]) == (1, "FS165", 0)
    assert "a.parquet" in said.json["warnings" if "warnings" in said.json else "result"]["warnings"][0]
    (tmp_path / "data" / "a.parquet").unlink()
    assert cli("verify", "--log", "--project", tmp_path).code == 1


def test_answers_of_several_generations_are_each_held_against_their_own(tmp_path):
    store = project(tmp_path)
    before = a_day(store, rows=100)
    later = W + 3 * HOUR
    facts(tmp_path / "data" / "b.parquet", [(1_000 + i, i % 40, later - i * SECOND, later - i * SECOND) for i in range(200)])
    store.clock.micros = later
    store.materialize(known_before=later)
    log(tmp_path, "service", before, a_day(store, rows=100, after=3 * HOUR))
    assert counted(replayed(tmp_path), "total") == (200, 0, 0)


def test_rows_pushed_before_an_answer_count_and_those_after_do_not(tmp_path):
    store = project(tmp_path)
    tables = [a_day(store, rows=50)]
    for hour in (3, 4):
        store.clock.micros = W + hour * HOUR + 5
        rows = [{"id": 5_000 + hour, "k": 1, "e": format_instant(store.clock.now() - 5), "x": 1.5}]
        store.push("facts", rows)
        for t in (store.clock.now() + 1, store.clock.now() + HOUR // 2):
            tables.append(answered(store, "service", {"k": [1, 2]}, t, amount=[1.0, 2.0]))
    log(tmp_path, "service", *tables)
    found = replayed(tmp_path)
    assert (found.mismatched, counted(found, "total")) == (0, (58, 0, 0))
    assert tables[1]["total"].to_pylist()[0] == 1.5


def test_since_and_sample_choose_rows_and_nothing_logged_is_no_success(cli, tmp_path):
    store = project(tmp_path)
    said = cli("verify", "--log", "--json", "--project", tmp_path)
    assert (said.code, said.json["errors"][0]["code"]) == (1, "FS165")
    served = a_day(store, rows=100)
    log(tmp_path, "service", served)
    middle = sorted(served["t"].cast(pa.int64()).to_pylist())[50]
    since = cli("verify", "--log", "--json", "--project", tmp_path, "--since", format_instant(middle))
    assert (since.code, since.json["result"]["services"]["service"]["rows"]) == (0, 50)
    some = cli("verify", "--log", "--json", "--project", tmp_path, "--sample", "7")
    assert some.json["result"]["services"]["service"]["rows"] == 7
    assert cli("verify", "--log", "service", "--project", tmp_path, "--since", format_instant(W + 9 * HOUR)).code == 1


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["--log", "nobody"], "FS101"),
        (["--log", "--sample", "0"], "FS102"),
        (["--since", "2026-01-01T00:00:00Z"], "FS102"),
        (["--log", "--since", "2026-01-01T00:00:00"], "FS103"),
    ],
)
def test_what_is_typed_wrong(cli, tmp_path, arguments, code):
    project(tmp_path, keys=1)
    said = cli("verify", *arguments, "--json", "--project", tmp_path)
    assert (said.code, said.json["errors"][0]["code"]) == (2, code)


def test_a_service_that_is_gone_and_the_share_that_may_differ(tmp_path):
    served = a_day(project(tmp_path, "[monitor]\nskew = 0.1\n"), rows=20)
    log(tmp_path, "former", served)
    log(tmp_path, "service", altered(served, "number", {0: 77}))
    found = replayed(tmp_path)
    assert (found.ok, found.mismatched, found.above) == (True, 1, {})
    assert counted(found, "number", "former") == (0, 0, 20)
    by_status = {(r.subject, r.feature): r.status for r in found.services["service"].results(W, 0.1)}
    assert set(by_status.values()) == {"ok"}
    assert {r.status for r in found.services["service"].results(W, 0.0)} == {"ok", "alert"}
    assert {r.status for r in found.services["former"].results(W, 0.0)} == {"skipped"}


def test_of_a_service_that_is_gone_and_served_no_more_nothing_is_said(tmp_path):
    served = a_day(project(tmp_path), rows=20)
    log(tmp_path, "former", served)
    log(tmp_path, "service", served)
    assert [*replayed(tmp_path, since=W + 9 * HOUR).services] == ["service"]


def test_what_was_pushed_and_is_forgotten_is_not_held_against_what_was_served(tmp_path):
    store = project(tmp_path)
    store.clock.micros = W + 3 * HOUR
    store.push("facts", [{"id": 9_000, "k": 1, "e": format_instant(W + 3 * HOUR - 5), "x": 1.5}])
    log(tmp_path, "service", answered(store, "service", {"k": [1]}, W + 3 * HOUR + 5, amount=[1.0]))
    assert counted(replayed(tmp_path), "total") == (1, 0, 0)
    store.forget("thing", 1)
    assert counted(replayed(tmp_path), "total") == (0, 0, 1)


def test_generations_of_long_ago_are_remembered_with_the_files_they_were_made_of(tmp_path):
    """Seven runs, some without new rows, one over a replaced file, one turned back: two generations are kept."""
    store = project(tmp_path)
    tables = [a_day(store, rows=20)]
    for n in range(1, 8):
        at = W + 4 * n * HOUR
        if n % 3:
            name = "b" if n == 5 else f"n{n}"
            facts(
                tmp_path / "data" / f"{name}.parquet",
                [(n * 1_000 + i, i % 40, at - i * SECOND, at - i * SECOND) for i in range(200)],
            )
        store.clock.micros = at
        store.materialize(known_before=at)
        tables.append(a_day(store, rows=20, seed=n, after=4 * n * HOUR))
        if n == 6:
            store.rollback("view")
    for number, table in enumerate(tables):
        log(tmp_path, "service", table.replace_schema_metadata(None), name=f"{number}")
    found = replayed(tmp_path, until=W + 100 * HOUR)
    assert counted(found, "total") == (160, 0, 0)
    (tmp_path / "data" / "n2.parquet").unlink()
    found = replayed(tmp_path)
    assert counted(found, "total") == (40, 0, 120)
    assert len(reasons(found)) == 1
