"""Splits in a build: one column more, counted, recorded, built again to the byte; wrong options end before any work."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore, Split
from featurestore.errors import SpineError
from tests.functional.conftest import Cli, contents
from tests.functional.made_again import Made, spine

TIME = ("--split", "time", "--test-from", "2024-02-10T00:00:00Z", "--validation-from", "2024-02-01T00:00:00Z",
        "--embargo", "1d", "--label-window", "3d", "--split-by", "customer")  # fmt: skip
GROUP = ("--split", "group", "--split-by", "customer", "--test-share", "0.3", "--validation-share", "0.2", "--seed", "5")
RANDOM = ("--split", "random", "--test-share", "0.3")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made.new(tmp_path_factory.mktemp("split") / "project")


@pytest.fixture
def build(made: Made, cli: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(made.folder)
    return lambda *options: cli("build", "svc", "--spine", "data/spine.parquet", "--quiet", *options)


@pytest.mark.parametrize("options", [TIME, GROUP, RANDOM], ids=lambda options: options[1])
def test_the_column_comes_last_and_the_rest_is_as_without_it(made: Made, build, options: tuple[str, ...]) -> None:
    plain, parted = f"{options[1]}_plain.parquet", f"{options[1]}.parquet"
    assert build("--output", plain, "--include", "status").code == 0
    said = build("--output", parted, "--include", "status", "--json", *options)
    assert said.code == 0
    table = pq.read_table(made.folder / parted)
    assert table.column_names[-1] == "split"
    assert table.drop_columns(["split"]).equals(pq.read_table(made.folder / plain))
    counted = Counter(table["split"].to_pylist())
    told = said.json["result"]["split"]
    assert {part: t["rows"] for part, t in told["parts"].items() if t["rows"]} == dict(counted)
    assert told == made.manifest(parted)["split"]
    test = pc.min_max(table.filter(pc.equal(table["split"], "test"))["as_of"])
    assert told["parts"]["test"]["last"] == test["max"].as_py().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert made.verify(parted).same


def test_the_label_views_of_the_service_say_what_is_purged(made: Made, build) -> None:
    said = build("--output", "labels.parquet", "--split", "time", "--test-from", "2024-02-10T00:00:00Z", "--json")
    told = said.json["result"]["split"]
    assert told["label_reach_us"] == 2 * 86_400_000_000
    assert told["parts"]["train"]["last"] <= "2024-02-08T00:00:00.000000Z" < told["parts"]["purged"]["first"]
    assert not any("purged" in warning for warning in said.json["result"]["warnings"])


def test_the_summary_has_a_line_for_each_part(build) -> None:
    lines = build("--output", "said.parquet", *TIME).out.splitlines()
    at = lines.index("split by time:")
    assert [line.split(":")[0].strip() for line in lines[at + 1 : at + 4]] == ["train", "validation", "test"]


def test_a_random_split_of_rows_with_instants_warns(build) -> None:
    warnings = build("--output", "warned.parquet", "--json", *RANDOM).json["result"]["warnings"]
    assert any("trains on the future" in warning for warning in warnings)


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_shuffled_spine_gives_every_row_its_part_with_any_threads(
    made: Made, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("FEATURESTORE_OFFLINE__THREADS", threads)
    rows = spine(150, seed=8).append_column("number", pa.arange(0, 150))
    found = []
    for order in (range(150), reversed(range(150))):
        table = made.store.build_training_set("svc", rows.take(list(order)), split=Split.group(by="customer", test_share=0.4))
        assert isinstance(table, pa.Table)
        found.append(dict(zip(table["number"].to_pylist(), table["split"].to_pylist(), strict=True)))
    assert found[0] == found[1]


WRONG = [
    ((), ("--test-from", "2024-01-01T00:00:00Z"), "FS153", "--test-from belongs to a split"),
    ((), ("--split", "sorted"), "FS153", "unknown kind of split 'sorted'"),
    ((), ("--split", "time"), "FS153", "--split time needs --test-from"),
    ((), ("--split", "time", "--test-from", "2024-01-01"), "FS103", "has no offset"),
    ((), ("--split", "time", "--test-from", "2024-01-01T00:00:00Z", "--seed", "3"), "FS153", "--split time takes no --seed"),
    ((), ("--split", "time", "--test-from", "2024-01-01T00:00:00Z", "--embargo", "1y"), "FS153", "no fixed length"),
    ((), ("--split", "group", "--test-share", "0.2"), "FS153", "--split group needs --split-by"),
    ((), ("--split", "random", "--test-share", "2"), "FS153", "no shares"),
    ((), ("--split", "random", "--test-share", "a fifth"), "FS100", "'--test-share'"),
    ((), ("--split", "random", "--test-share", "0.2", "--split-by", "customer"), "FS153", "takes no --split-by"),
    ((), ("--split", "group", "--test-share", "0.2", "--split-by", "nobody"), "FS303", "has no column 'nobody'"),
    ((), ("--split", "group", "--test-share", "0.2", "--split-by", "asked"), "FS303", "cannot name an entity"),
    (("split",), RANDOM, "FS304", "has the name of the column that a split adds"),
    (("SPLIT",), RANDOM, "FS304", "has the name of the column that a split adds"),
]


@pytest.mark.parametrize(("columns", "options", "code", "said"), WRONG, ids=[" ".join(w[1])[:60] for w in WRONG])
def test_wrong_options_end_before_any_work(
    made: Made,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    columns: tuple[str, ...],
    options: tuple[str, ...],
    code: str,
    said: str,
) -> None:
    monkeypatch.chdir(made.folder)
    table = spine(5)
    for name in columns:
        table = table.append_column(name, table["label"])
    pq.write_table(table, made.folder.parent / "given.parquet")
    before = contents(made.folder)
    answer = cli("build", "svc", "--spine", made.folder.parent / "given.parquet", "--output", "no.parquet", "--json",
                 "--quiet", *options)  # fmt: skip
    (error,) = answer.json["errors"]
    assert (answer.code, error["code"]) == (4 if code.startswith("FS3") else 2, code)
    assert said in error["what"]
    assert contents(made.folder) == before


def test_a_feature_called_split_clashes(tmp_path: Path) -> None:
    made = Made.new(tmp_path / "project")
    made.redefine('latest("city")', 'latest("city", name="split")')
    made.build()
    with pytest.raises(SpineError) as caught:
        FeatureStore(made.folder).build_training_set("svc", spine(5), split=Split.random(test_share=0.2))
    assert caught.value.code == "FS304"
