"""The generated world: the same bytes for the same seed, any size, and every oddity it promises."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from featurestore.errors import UsageError
from featurestore.scaffold import generate as module
from featurestore.scaffold.draws import Draws, word
from featurestore.scaffold.generate import generate
from featurestore.scaffold.tables import END, START, UNKNOWN_CUSTOMER, UNKNOWN_MERCHANT

ROWS = 20_000
HOUR = pl.duration(hours=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    generate(folder, rows=ROWS)
    return folder


@pytest.fixture(scope="module")
def payments(made: Path) -> pl.DataFrame:
    return pl.read_parquet(made / "payments" / "*.parquet")


@pytest.fixture(scope="module")
def versions(payments: pl.DataFrame) -> pl.DataFrame:
    """Each known row beside the next one of its payment in the order of arrival: (column, next_column)."""
    ordered = payments.drop_nulls("loaded_at").unique().sort("payment_id", "loaded_at")
    following = [pl.col(c).shift(-1).over("payment_id").alias(f"next_{c}") for c in ordered.columns if c != "payment_id"]
    return ordered.with_columns(following).filter(pl.col("next_loaded_at").is_not_null())


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --------------------------------------------------------------------------------------------------------------- bytes


def test_one_seed_gives_the_same_bytes_in_another_process_with_another_hash_seed(made: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "featurestore.scaffold.generate", "--rows", str(ROWS)]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "POLARS_MAX_THREADS": "1", "TZ": "Asia/Tokyo"}
    root = Path(__file__).resolve().parents[2]
    subprocess.run([*command, "--output", str(tmp_path)], check=True, env=environment, cwd=root, capture_output=True)
    assert digests(tmp_path) == digests(made)


def test_another_seed_gives_another_world(made: Path, tmp_path: Path) -> None:
    generate(tmp_path, rows=ROWS, seed=8)
    other, mine = digests(tmp_path), digests(made)
    assert other.keys() == mine.keys()
    assert not {name for name in mine if mine[name] == other[name]}


def test_the_chunk_decides_row_groups_and_no_value(
    payments: pl.DataFrame, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 777)
    generate(tmp_path, rows=ROWS)
    order = ["payment_id", "loaded_at", "status", "amount"]
    pieces = pl.read_parquet(tmp_path / "payments" / "*.parquet")
    assert pieces.sort(order).equals(payments.sort(order))
    assert pl.read_parquet(tmp_path / "spine.parquet").equals(pl.read_parquet(made / "spine.parquet"))


def test_the_draws_are_what_they_always_were() -> None:
    """Pinned, so that a change of Polars cannot quietly change every data set ever made."""
    row = pl.int_range(0, 4, dtype=pl.UInt64)
    drawn = pl.select(bits=Draws(7).bits(row, "pinned"), below=Draws(7).below(row, "pinned", 10))
    assert drawn["bits"].to_list() == PINNED_BITS
    assert drawn["below"].to_list() == [bits * 10 // 2**32 for bits in PINNED_BITS]
    assert pl.select(word(2**64 - 1) * word(3)).item() == 2**64 - 3


PINNED_BITS = [1881090488, 822576458, 907882915, 1561172459]

# ---------------------------------------------------------------------------------------------------------------- size


@pytest.mark.parametrize("rows", [1, 19, 1_000, 20_001])
def test_payments_have_exactly_the_rows_asked_for(rows: int, tmp_path: Path) -> None:
    report = generate(tmp_path, rows=rows)
    counted = {name: _count(tmp_path, name) for name in report["rows"]}
    assert counted == report["rows"]
    assert counted["payments"] == rows
    assert report["files"] == sorted(digests(tmp_path))


def _count(folder: Path, name: str) -> int:
    paths = [folder / f"{name}.parquet"] if name != "payments" else (folder / name).iterdir()
    return sum(pq.read_metadata(path).num_rows for path in paths)


def test_the_rest_scales_with_the_payments(tmp_path: Path) -> None:
    small, large = (generate(tmp_path / str(rows), rows=rows)["rows"] for rows in (10_000, 100_000))
    assert {name: round(large[name] / small[name]) for name in ("disputes", "spine", "customers", "cards")} == {
        "disputes": 10, "spine": 10, "customers": 10, "cards": 10,
    }  # fmt: skip


def test_a_second_smaller_run_leaves_no_month_of_the_first_and_nothing_of_others_is_touched(tmp_path: Path) -> None:
    generate(tmp_path, rows=1_000)
    (tmp_path / "payments" / "notes.txt").write_text("mine")
    report = generate(tmp_path, rows=1)
    left = set(digests(tmp_path))
    assert left == {*report["files"], "payments/notes.txt"}
    assert len(list((tmp_path / "payments").glob("*.parquet"))) == 1


def test_a_run_that_fails_leaves_the_data_of_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(tmp_path, rows=1_000)
    before = digests(tmp_path)
    monkeypatch.setattr(module, "_write_csv", lambda path, frame: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generate(tmp_path, rows=2_000)
    assert digests(tmp_path) == before


def test_no_rows_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        generate(tmp_path, rows=0)
    assert caught.value.code == "FS102"


def test_progress_counts_up_to_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 400)
    seen: list[tuple[int, int]] = []
    generate(tmp_path, rows=1_000, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(400, 1_000), (800, 1_000), (1_000, 1_000)]


# ------------------------------------------------------------------------------------------------------------ oddities


def test_payments_lie_in_several_files_by_month_of_arrival(made: Path) -> None:
    files = sorted((made / "payments").glob("*.parquet"))
    assert len(files) >= 13
    for path in files:
        months = pl.read_parquet(path).drop_nulls("loaded_at")["loaded_at"].dt.strftime("%Y-%m").unique()
        assert months.to_list() == [path.stem]


def test_one_in_ten_arrives_late_by_hours_to_weeks(payments: pl.DataFrame) -> None:
    first = payments.drop_nulls("loaded_at").sort("loaded_at").unique("payment_id", keep="first", maintain_order=True)
    late = first.filter(pl.col("loaded_at") - pl.col("paid_at") > HOUR)
    assert 0.08 < late.height / first.height < 0.12
    delay = (late["loaded_at"] - late["paid_at"]).dt.total_days()
    assert (delay.min(), delay.max()) == (0, 21)


def test_some_arrive_before_they_happened_and_some_never(payments: pl.DataFrame) -> None:
    assert payments.filter(pl.col("loaded_at") < pl.col("paid_at")).height > 0
    assert payments["loaded_at"].null_count() > 0


def test_corrections_void_amend_move_shift_and_delete(versions: pl.DataFrame) -> None:
    is_kind = {
        "void": (pl.col("status") == "settled") & (pl.col("next_status") == "void"),
        "settled": (pl.col("status") == "pending") & (pl.col("next_status") == "settled"),
        "amended": pl.col("amount") != pl.col("next_amount"),
        "moved": pl.col("customer_id") != pl.col("next_customer_id"),
        "shifted": pl.col("paid_at") != pl.col("next_paid_at"),
        "deleted": pl.col("next_is_deleted") & pl.col("next_paid_at").is_not_null(),
        "tombstone": pl.col("next_is_deleted") & pl.col("next_paid_at").is_null(),
        "restored": pl.col("is_deleted") & ~pl.col("next_is_deleted"),
    }
    counts = {kind: versions.filter(condition).height for kind, condition in is_kind.items()}
    assert not [kind for kind, count in counts.items() if count == 0], counts
    assert 0.04 < versions.height / ROWS < 0.07


def test_corrections_are_known_later_than_what_they_correct(versions: pl.DataFrame) -> None:
    gap = versions["next_loaded_at"] - versions["loaded_at"]
    assert gap.dt.total_hours().min() >= 1
    assert gap.dt.total_days().max() >= 19


def test_no_two_different_versions_are_known_at_one_instant(payments: pl.DataFrame) -> None:
    known = payments.unique().drop_nulls("loaded_at")
    assert known.select("payment_id", "loaded_at").is_duplicated().sum() == 0


def test_there_are_repetitions_nulls_refunds_and_split_bills(payments: pl.DataFrame) -> None:
    assert 0.005 < (payments.height - payments.unique().height) / ROWS < 0.02
    live = payments.filter(~pl.col("is_deleted"))
    nullable = ["customer_id", "merchant_id", "amount", "card_country", "city"]
    assert all(live[column].null_count() > 0 for column in nullable)
    assert payments["is_deleted"].null_count() > 0
    assert payments.filter(pl.col("amount") < 0).height > 0
    ties = payments.unique("payment_id").drop_nulls("customer_id")
    assert ties.select("customer_id", "paid_at").is_duplicated().sum() > ROWS / 50
    assert ties.drop_nulls("loaded_at").select("customer_id", "paid_at", "loaded_at").is_duplicated().sum() > ROWS / 100


def test_text_holds_every_kind_of_unicode(made: Path, payments: pl.DataFrame) -> None:
    cities = set(payments["city"].drop_nulls())
    names = " ".join(pl.read_parquet(made / "customers.parquet")["name"])
    shops = " ".join(pl.read_parquet(made / "merchants.parquet")["name"])
    assert "北京" in cities
    assert "Zoë" in names
    assert "👩\u200d✈️" in shops
    assert len({city for city in cities if unicodedata.normalize("NFC", city) == "Kraków"}) == 2


def test_keys_hold_ids_beyond_a_double_and_two_spellings_of_one_accent(payments: pl.DataFrame) -> None:
    assert payments.filter(pl.col("customer_id") > 2**53).height > 0
    merchants = set(payments["merchant_id"].drop_nulls())
    assert {"café-00011", "cafe\u0301-00011"} <= merchants


def test_amounts_are_whole_cents_as_python_reads_them(payments: pl.DataFrame) -> None:
    assert [a for a in payments["amount"].drop_nulls() if float(f"{a:.2f}") != a] == []


def test_times_are_aware_microseconds_within_the_year(made: Path, payments: pl.DataFrame) -> None:
    assert str(pq.read_schema(next((made / "payments").iterdir())).field("paid_at").type) == "timestamp[us, tz=UTC]"
    micros = payments["paid_at"].drop_nulls().cast(pl.Int64)
    assert micros.min() > START - 3 * 86_400_000_000
    assert micros.max() < END + 86_400_000_000


def test_customer_versions_arrive_out_of_order_and_accounts_are_closed(made: Path) -> None:
    customers = pl.read_parquet(made / "customers.parquet")
    assert customers.select("customer_id", "version").is_unique().all()
    arrived = customers.sort("customer_id", "loaded_at")
    assert arrived.filter(pl.col("version").shift(-1).over("customer_id") < pl.col("version")).height > 0
    assert customers["is_closed"].sum() > 0
    assert customers["customer_id"].value_counts()["count"].max() == 3


def test_merchants_change_tie_and_lose_their_score(made: Path) -> None:
    merchants = pl.read_parquet(made / "merchants.parquet")
    assert merchants["merchant_id"].n_unique() < merchants.height
    assert merchants.select("merchant_id", "valid_from").is_duplicated().sum() > 0
    assert merchants["risk_score"].null_count() > 0


def test_cards_have_one_row_each_and_some_are_missing(made: Path, payments: pl.DataFrame) -> None:
    cards = pl.read_parquet(made / "cards.parquet")
    assert cards["card_id"].is_unique().all()
    assert 0 < len(set(payments["card_id"].drop_nulls()) - set(cards["card_id"])) < cards.height / 10


def test_disputes_become_known_long_after_the_payment(made: Path) -> None:
    disputes = pl.read_parquet(made / "disputes.parquet")
    assert (disputes["reported_at"] - disputes["disputed_at"]).dt.total_days().max() >= 9
    assert disputes["payment_id"].is_unique().all()


def test_the_spine_is_unsorted_repeats_and_asks_for_the_unknown(made: Path) -> None:
    spine = pl.read_parquet(made / "spine.parquet")
    assert not spine["as_of"].is_sorted()
    assert 0 < spine.height - spine.unique().height < spine.height / 20
    assert spine.filter(pl.col("customer_id") == UNKNOWN_CUSTOMER).height > 0
    assert spine.filter(pl.col("merchant_id") == UNKNOWN_MERCHANT).height > 0
    assert spine["customer_id"].null_count() > 0
    assert 0.005 < spine["label"].mean() < 0.05
    assert spine["as_of"].null_count() == spine["label"].null_count() == 0


def test_the_csv_spine_is_the_head_of_the_spine(made: Path) -> None:
    with (made / "spine.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    head = pl.read_parquet(made / "spine.parquet").head(len(rows))
    assert list(rows[0]) == head.columns
    assert [int(r["customer_id"]) if r["customer_id"] else None for r in rows] == head["customer_id"].to_list()
    assert [r["label"] == "true" for r in rows] == head["label"].to_list()
    assert all(r["as_of"].endswith("Z") for r in rows)
