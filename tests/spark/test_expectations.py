"""What is expected of a source's rows, judged by Spark: it stops, sets aside and tells the same as DuckDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.engines.spark import SparkSettings
from tests.functional.conftest import Cli, cli
from tests.functional.test_expectations import DAY, POSITIVE, QUARANTINED, REASON, SECOND, T0, VERSIONS, Expecting
from tests.spark.test_build import rows_of

__all__ = ["cli"]
OPEN = 'expect.one_of("status", ["open"], action="quarantine")'
ACCENTED = "n'est pas \\\\ bon: été \N{SNOWMAN}"


@pytest.fixture
def bank(tmp_path: Path, cli: Cli, spark_settings: SparkSettings) -> Expecting:
    made = Expecting(tmp_path, cli)
    conf = "".join(f'"{name}" = "{value}"\n' for name, value in spark_settings.conf.items())
    with (tmp_path / "featurestore.toml").open("a") as told:
        told.write(f'[spark]\nmaster = "{spark_settings.master}"\nwork = "{spark_settings.work}"\n[spark.conf]\n{conf}')
    return made


def built(bank: Expecting, engine: str, code: int = 0) -> dict[str, Any]:
    """What a build says by one engine, with what it left behind: `rows`, `aside`; None for none."""
    output = bank.folder / f"{engine}.parquet"
    bank.aside.unlink(missing_ok=True)
    asked = ("build", "bank", "--spine", bank.folder / "spine.parquet", "--output", output, "--engine", engine, "--json")
    said = bank.run(*asked, code=code).json
    result = said["result"] or {}
    return {
        "errors": said["errors"],
        "left_out": result.get("left_out"),
        "warnings": result.get("warnings"),
        "rows": rows_of(output).to_pylist() if output.exists() else None,
        "aside": pq.read_table(bank.aside).to_pylist() if bank.aside.exists() else None,
    }


def same_by_both(bank: Expecting, code: int = 0) -> dict[str, Any]:
    by_spark = built(bank, "spark", code)
    assert by_spark == built(bank, "duckdb", code)
    return by_spark


def test_a_row_that_fails_stops_a_build_and_is_named(bank: Expecting) -> None:
    bank.define(f'{POSITIVE.format("fail")}, expect.matches("card", "c[0-9]+")')
    bank.write([1.0, -1.0, None], "a", card=["c1", "c2", "c3"])
    bank.write([-2.0, 3.0, -3.0, -4.0], "b", card=["c1", "c2", "x", "c\u0661"])
    said = same_by_both(bank, code=4)
    assert said["errors"][0]["code"] == "FS328"
    assert said["errors"][0]["what"] == f"4 of 7 rows of source 'payments' break: {REASON}"
    assert said["rows"] is None


def test_rows_in_quarantine_are_left_out_counted_under_one_reason_and_kept_with_all(bank: Expecting) -> None:
    bank.define(f'{QUARANTINED}, {OPEN}, expect.not_null("amount", action="warn")')
    status = ["open", "no", "no", "open", ACCENTED, "open", "open", "open"]
    bank.write([10.0, -1.0, 20.0, -5.0, 30.0, None, 40.0, 50.0], status=status)
    said = same_by_both(bank)
    assert said["left_out"] == {"spent": {f"quarantined: {REASON}": 2, "quarantined: status one of open": 2}}
    assert [row["__row"] for row in said["aside"]] == [1, 2, 3, 4]
    assert said["rows"][0]["count_lifetime"] == 4
    assert "source payments: 1 of 8 rows break: amount not null" in said["warnings"]


@pytest.mark.slow
def test_a_version_in_quarantine_hides_nothing(bank: Expecting) -> None:
    bank.define(QUARANTINED, VERSIONS)
    loaded = [T0 + i * SECOND for i in range(4)]
    bank.write([10.0, 20.0, -1.0, 30.0], payment_id=["p", "q", "q", "r"], loaded_at=loaded)
    assert same_by_both(bank)["rows"][0]["amount_sum_lifetime"] == 60.0


@pytest.mark.slow
def test_a_source_that_is_not_fresh_stops_a_build(bank: Expecting) -> None:
    bank.define('expect.fresh("1d")')
    bank.write([1.0, 2.0], paid_at=[T0, 4_000_000_000 * SECOND])
    assert same_by_both(bank, code=4)["rows"] is None


@pytest.mark.slow
def test_more_than_half_in_quarantine_stops_a_build(bank: Expecting) -> None:
    bank.define(f"{QUARANTINED}, {OPEN}")
    bank.write([-1.0, 2.0, 3.0], status=["open", "no", "open"])
    assert same_by_both(bank, code=4)["errors"][0]["code"] == "FS327"


def test_a_materialization_judges_too(bank: Expecting) -> None:
    bank.define(QUARANTINED)
    bank.write([10.0, -1.0, 30.0])
    bank.run("materialize", "--engine", "spark")
    assert pq.read_table(bank.aside)["__row"].to_pylist() == [1]
    bank.define(POSITIVE.format("fail"))
    [error] = bank.run("materialize", "--engine", "spark", "--json", code=4).json["errors"]
    assert error["code"] == "FS328"


@pytest.mark.slow
def test_times_that_are_odd_and_files_of_nothing_are_judged(bank: Expecting) -> None:
    bank.define(QUARANTINED)
    bank.write([], "a", amount=pa.array([], pa.float64()), customer_id=pa.array([], pa.int64()))
    bank.write([-1.0, 1.0, 2.0, 3.0], "b", paid_at=[None, T0, T0 + DAY, T0 + 2 * DAY])
    said = same_by_both(bank)
    assert (said["rows"][0]["amount"], said["rows"][0]["amount_sum_lifetime"]) == (3.0, 6.0)
    assert [row["__row"] for row in said["aside"]] == [0]
