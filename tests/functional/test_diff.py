"""`featurestore diff` by stories: which cells differ, which rows and columns one has alone, and what explains it."""

from __future__ import annotations

import math
import shutil
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from featurestore import DataError, FeatureStore, Split, UsageError
from featurestore.audit import rows as matching
from featurestore.audit.diff import Difference
from tests.functional.conftest import Cli
from tests.functional.made_again import HOUR, PAID, Made, payments

diff = FeatureStore.diff


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Made:
    made = Made.new(tmp_path_factory.mktemp("compared") / "project")
    made.build("a.parquet")
    return made


@pytest.fixture
def made(built: Made, tmp_path: Path) -> Made:
    shutil.copytree(built.folder, tmp_path / "project")
    return Made(tmp_path / "project")


def compared(made: Made, a: str = "a.parquet", b: str = "b.parquet", **options: Any) -> Difference:
    return diff(made.folder / a, made.folder / b, **options)


# By position.


def test_a_set_is_the_same_as_itself_in_any_kind_of_file(made: Made) -> None:
    pq.write_table(pq.read_table(made.folder / "a.parquet"), made.folder / "b.parquet", compression="none", row_group_size=7)
    made.build("c.csv")
    for b in ("a.parquet", "b.parquet", "c.csv", "a.parquet.manifest.json"):
        found = compared(made, b=b)
        assert (found.same, found.matched_by, found.matched, found.notes == []) == (True, "position", 200, b != "b.parquet")
    assert compared(made, "c.csv", "c.csv").same


def test_one_changed_cell_is_found_with_its_place_and_both_values(made: Made) -> None:
    table = pq.read_table(made.folder / "a.parquet")
    values = table["amount_sum_7d"].to_pylist()
    at = next(i for i, v in enumerate(values) if v is not None)
    was, values[at] = values[at], math.nextafter(values[at], math.inf)
    number = table.column_names.index("amount_sum_7d")
    pq.write_table(table.set_column(number, "amount_sum_7d", pa.array(values)), made.folder / "b.parquet")
    found = compared(made)
    assert (found.same, found.cells, list(found.columns)) == (False, 1, ["amount_sum_7d"])
    (example,) = found.columns["amount_sum_7d"].examples
    assert (example["row"], example["a"], example["b"]) == (at, was, values[at])
    assert example["keys"]["customer"] == table["customer"][at].as_py()


def test_another_order_of_columns_is_no_difference_of_cells_and_is_noted(made: Made) -> None:
    table = pq.read_table(made.folder / "a.parquet")
    pq.write_table(table.select(table.column_names[::-1]), made.folder / "b.parquet")
    found = compared(made)
    assert (found.same, found.notes[-1]) == (True, "the columns stand in another order")


def test_a_column_one_set_has_alone_and_one_of_another_type(made: Made) -> None:
    table = pq.read_table(made.folder / "a.parquet").drop_columns(["city"])
    table = table.set_column(0, "customer", table["customer"].cast(pa.int32())).append_column("more", table["label"])
    pq.write_table(table, made.folder / "b.parquet")
    found = compared(made)
    assert (found.same, found.cells, found.types) == (False, 0, {"customer": ("int64", "int32")})
    assert (found.columns_only_a, found.columns_only_b) == ({"city": ["unexplained"]}, {"more": ["unexplained"]})


# What explains it.


def causes(made: Made, **options: Any) -> dict[str, dict[str, int]]:
    made.build("b.parquet", **options)
    return compared(made).causes


def test_options_explain_what_they_can_have_touched(made: Made) -> None:
    assert list(causes(made, serving_lag="1d")) == ["serving lag: 0s → 1d"]
    assert list(causes(made, known_before="2024-01-20T00:00:00Z")) == ["known before: none → 2024-01-20T00:00:00.000000Z"]


def test_a_definition_explains_its_own_columns_alone(made: Made) -> None:
    made.redefine('ttl="90d"', 'ttl="1d"')
    made.redefine('"amount * 2"', '"amount * 3"')
    made.build("b.parquet")
    found = compared(made)
    assert {name: column.causes for name, column in found.columns.items()} == {
        "amount": ["view spending: ttl 90d → 1d"],
        "twice": [
            'view spending: feature twice: expression multiply("amount", 2) → multiply("amount", 3)',
        ],
    }


def test_a_feature_that_is_gone_explains_its_column(made: Made) -> None:
    made.redefine('[latest("city")]', '[latest("city", name="town")]')
    made.build("b.parquet")
    found = compared(made)
    assert found.columns_only_a == {"city": ["view place: feature city: gone"]}
    assert found.columns_only_b == {"town": ["view place: feature town: added"]}
    assert found.cells == 0


def test_source_files_explain_the_columns_of_their_views(made: Made) -> None:
    pq.write_table(payments(0, 100, 77), made.folder / "data/payments/1.parquet")
    pq.write_table(payments(900, 100, 78), made.folder / "data/payments/3.parquet")
    (made.folder / "data/payments/2.parquet").unlink()
    made.build("b.parquet")
    found = compared(made)
    said = [f"data/payments/{n}.parquet: {what} (source payments)" for n, what in ((1, "changed"), (2, "gone"), (3, "added"))]
    assert [str(change) for change in found.changes] == said
    assert {"amount", "share", "again"} <= set(found.columns)  # the on-demand feature and the label too
    assert "city" not in found.columns
    assert all(column.causes == said for column in found.columns.values())


def test_pushed_rows_explain_the_columns_of_their_views(made: Made) -> None:
    made.store.push("payments", [{"payment_id": 0, "customer": 1, "paid_at": "2024-01-02T00:00:00Z", "amount": 5.0}])
    made.build("b.parquet")
    found = compared(made)
    assert [str(change) for change in found.changes] == ["push log of payments: now there is one, up to position 1"]
    made.store.push("payments", [{"payment_id": 1, "customer": 1, "paid_at": "2024-01-02T00:00:00Z", "amount": 5.0}])
    made.build("c.parquet")
    assert [str(change) for change in compared(made, "b.parquet", "c.parquet").changes] == [
        "push log of payments: position 1 → 2"
    ]


def test_what_no_manifest_explains_is_unexplained(made: Made) -> None:
    made.build("b.parquet")
    table = pq.read_table(made.folder / "b.parquet")
    at = table.column_names.index("city")
    pq.write_table(table.set_column(at, "city", pa.array(["nowhere"] * table.num_rows)), made.folder / "b.parquet")
    found = compared(made)
    assert found.columns["city"].causes == ["b.parquet: it is not the file that its manifest describes"]
    (made.folder / "b.parquet.manifest.json").unlink()
    found = compared(made)
    assert found.columns["city"].causes == ["unexplained"]
    assert found.notes == ["no manifest beside b.parquet: causes cannot be told"]


def test_manifests_alone_are_compared_by_what_they_say(made: Made) -> None:
    made.build("b.parquet", serving_lag="1d")
    (made.folder / "a.parquet").unlink()
    found = compared(made, "a.parquet.manifest.json", "b.parquet.manifest.json")
    assert (found.same, found.matched_by, [str(c) for c in found.changes]) == (False, None, ["serving lag: 0s → 1d"])
    shutil.copy(made.folder / "a.parquet.manifest.json", made.folder / "c.manifest.json")
    assert compared(made, "a.parquet.manifest.json", "c.manifest.json").same


# By keys.


def test_rows_in_another_order_are_matched_by_keys_and_as_of(made: Made) -> None:
    table = pq.read_table(made.folder / "data/spine.parquet")
    shuffled = table.take(Random(1).sample(range(200), 200)).slice(20)
    pq.write_table(shuffled, made.folder / "shuffled.parquet")
    made.build("b.parquet", made.folder / "shuffled.parquet")
    found = compared(made)
    assert found.matched_by == ["customer", "shop", "as_of"]
    assert (found.matched, found.only_a, found.only_b) == (180, 20, 0)
    assert len(found.rows_only_a) == 5
    features = ["amount", "amount_sum_1d", "amount_sum_7d", "twice", "city", "again"]
    assert not set(features) & set(found.columns)


def naive(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> tuple[int, int, int, Counter[str]]:
    """(matched, only in A, only in B, cells that differ by column), one row after the other."""
    waiting = defaultdict(list)
    for row in b:
        waiting[row["k"], row["s"], row["t"]].append(row)
    matched, only_a, cells = 0, 0, Counter[str]()
    for row in a:
        others = waiting[row["k"], row["s"], row["t"]]
        if not others:
            only_a += 1
            continue
        other = others.pop(0)
        matched += 1
        cells.update(name for name in ("x", "y") if row[name] != other[name])
    return matched, only_a, sum(map(len, waiting.values())), cells


@pytest.mark.parametrize("seed", range(20))
def test_matching_in_buckets_finds_what_one_row_after_the_other_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = Random(seed)
    monkeypatch.setattr(matching, "ROWS_OF_A_BUCKET", rng.choice((10, 100, 10_000)))
    monkeypatch.setattr(matching, "ROWS_AT_ONCE", rng.choice((7, 100)))

    def row() -> dict[str, Any]:
        return {"k": rng.choice((1, 2, 3, None)), "s": rng.choice(("a", "b", None)), "t": PAID + rng.randrange(4) * HOUR,
                "x": rng.choice((1.5, None)), "y": rng.choice(("u", "v"))}  # fmt: skip

    a = [row() for _ in range(200)]
    b = [dict(r) if rng.random() < 0.8 else row() for r in a if rng.random() < 0.9] + [row() for _ in range(20)]
    rng.shuffle(b)
    types = {"k": pa.int64(), "s": pa.string(), "t": pa.timestamp("us", "UTC"), "x": pa.float64(), "y": pa.string()}
    other = types | rng.choice((
        {}, {"k": pa.int32(), "s": pa.large_string()}, {"t": pa.timestamp("ns", "UTC")},
        {"k": pa.uint64(), "s": pa.string_view(), "y": pa.dictionary(pa.int8(), pa.string())},
        {"k": pa.decimal128(20, 0), "y": pa.string_view()},
    ))  # fmt: skip
    for rows, name, kinds in ((a, "a", types), (b, "b", other)):
        arrays = {n: pa.array([r[n] for r in rows], types[n]).cast(kinds[n]) for n in types}
        pq.write_table(pa.table(arrays), tmp_path / f"{name}.parquet", row_group_size=rng.choice((13, 1_000)))
        plain = {n: column.cast(types[n] if n != "t" else column.type) for n, column in arrays.items()}
        csv.write_csv(pa.table(plain), tmp_path / f"{name}.csv")
    matched, only_a, only_b, cells = naive(a, b)
    texts = [("a.csv", "b.csv")] if other["t"] == types["t"] else []  # else the same instant is written in more digits
    for one, two in [("a.parquet", "b.parquet"), ("a.csv", "b.parquet"), *texts]:
        found = diff(tmp_path / one, tmp_path / two, keys=["k", "s"], as_of="t")
        assert (found.matched, found.only_a, found.only_b) == (matched, only_a, only_b)
        assert {n: c.cells for n, c in found.columns.items()} == dict(cells)
        for name, column in found.columns.items():
            for example in column.examples:
                assert a[example["row"]][name] == example["a"] or one.endswith("csv")
                assert b[example.get("row_b", example["row"])][name] == example["b"] or two.endswith("csv")
    assert diff(tmp_path / "a.parquet", tmp_path / "a.csv", keys=["k", "s"], as_of="t").same


# What cannot be compared.


def test_rows_that_nothing_tells_how_to_match_are_asked_about(made: Made) -> None:
    for name, rows in (("b.parquet", 200), ("c.parquet", 199)):
        pq.write_table(pq.read_table(made.folder / "a.parquet").slice(0, rows), made.folder / name)
    found = diff(made.folder / "b.parquet", made.folder / "b.parquet")
    assert (found.same, found.matched_by, len(found.notes)) == (True, "position", 2)
    with pytest.raises(UsageError, match="no manifest says") as caught:
        diff(made.folder / "b.parquet", made.folder / "c.parquet")
    assert caught.value.code == "FS152"
    found = diff(made.folder / "b.parquet", made.folder / "c.parquet", keys=["customer"], as_of="as_of")
    assert (found.same, found.only_a, found.only_b, found.cells) == (False, 1, 0, 0)
    with pytest.raises(UsageError, match="has no column 'nobody'"):
        diff(made.folder / "b.parquet", made.folder / "c.parquet", keys=["nobody"])


def test_files_that_are_no_training_sets_are_refused(made: Made) -> None:
    (made.folder / "b.parquet").write_bytes(b"PAR1 nothing")
    (made.folder / "c.csv").write_bytes(b"a,b\n1\n1,2,3\n")
    (made.folder / "d.csv").write_bytes(b"")
    for name, code in (("b.parquet", "FS362"), ("c.csv", "FS362"), ("d.csv", "FS362"), ("nothing.parquet", "FS361")):
        with pytest.raises(DataError) as caught:
            compared(made, b=name)
        assert caught.value.code == code
    with pytest.raises(UsageError) as wrong:
        compared(made, b="data/../featurestore.toml")
    assert wrong.value.code == "FS106"


# By command.


def test_the_command_needs_no_project_and_exits_by_what_it_finds(
    made: Made, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.build("b.parquet", serving_lag="1d")
    monkeypatch.chdir(tmp_path)
    a, b = (str(made.folder / name) for name in ("a.parquet", "b.parquet"))
    said = cli("diff", a, a, "--quiet")
    assert (said.code, said.out) == (0, "200 rows in both, matched by position\nthe same\n")
    said = cli("diff", a, b, "--json", "--quiet")
    assert (said.code, said.json["errors"][0]["code"]) == (1, "FS134")
    result = said.json["result"]
    assert (result["same"], result["rows"]["matched"], list(result["causes"])) == (False, 200, ["serving lag: 0s → 1d"])
    assert result["cells"] == sum(found["cells"] for found in result["differences"].values())
    text = cli("diff", a, b, "--quiet", "--keys", "customer,shop", "--as-of-column", "as_of").out
    assert "matched by customer, shop, as_of" in text
    assert "  option: serving lag: 0s → 1d" in text


def test_options_of_a_split_explain_the_column_it_adds_and_no_other(made: Made) -> None:
    made.build("b.parquet", split=Split.random(test_share=0.2, seed=1))
    made.build("c.parquet", split=Split.random(test_share=0.3, seed=2), include=("status",))
    found = compared(made, "b.parquet", "c.parquet")
    assert list(found.columns) == ["split"]
    assert found.columns["split"].causes == ["split: test share 0.2 → 0.3, seed 1 → 2"]
    assert found.columns_only_b["city__status"] == ["include: none → status"]
