"""`check --data` tells all that is wrong with a source's rows, and all that is doubtful."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.functional.bank import Bank
from tests.functional.conftest import Cli

UTC = pa.timestamp("us", "UTC")
SECOND, HOUR, DAY = 10**6, 3600 * 10**6, 86_400 * 10**6
T0 = 1_700_000_000 * SECOND
DEFINITIONS = """
from featurestore import Entity, FeatureView, ParquetSource, agg, latest

customer = Entity(name="customer", join_keys=["customer_id"])
payments = ParquetSource(name="payments", path="data/*.parquet", event_timestamp="paid_at", {options})
spent = FeatureView(name="spent", entities=[customer], source=payments, features=[{features}])
"""
SUM = 'agg.sum("amount", window="30d")'


class Checked(Bank):
    """Options and rows of its source are each test's."""

    def define(self, options: str = 'delay="0s"', features: str = SUM, more: str = "") -> None:
        self.defined_as(DEFINITIONS.format(options=options, features=features) + more)

    def write(self, file: str = "a", **columns: Any) -> Path:
        path = self.folder / "data" / f"{file}.parquet"
        pq.write_table(table(**columns), path, write_page_checksum=True, compression="none", use_dictionary=False)
        return path

    def check(self, code: int = 0) -> dict[str, Any]:
        said = self._cli("check", "--data", "--json", "--project", self.folder)
        assert said.code == code, said.out + said.err
        found: dict[str, Any] = said.json
        return found

    def text(self) -> str:
        return self._cli("check", "--data", "--quiet", "--project", self.folder).out


def table(n: int = 4, **columns: Any) -> pa.Table:
    given: dict[str, Any] = {
        "customer_id": list(range(n)), "paid_at": [T0 + i * DAY for i in range(n)], "amount": [float(i) for i in range(n)],
    } | columns  # fmt: skip
    times = {name for name in given if name.endswith("_at")}
    return pa.table({name: pa.array(v, UTC if name in times else None) for name, v in given.items()})


@pytest.fixture
def bank(tmp_path: Path, cli: Cli) -> Checked:
    return Checked(tmp_path, cli)


def of_payments(said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = said["result"]["data"]["payments"]
    return found


def test_a_sound_source_is_told_in_numbers(bank):
    bank.define()
    bank.write()
    said = bank.check()
    found = of_payments(said)
    assert said["result"]["warnings"] == []
    assert (found["rows"], found["files"], found["left_out"]) == (4, 1, {"spent": {}})
    assert found["event_time"] == {
        "column": "paid_at", "null": 0, "out_of_range": 0, "first": "2023-11-14T22:13:20.000000Z",
        "last": "2023-11-17T22:13:20.000000Z", "future": 0,
    }  # fmt: skip
    assert found["known_time"]["declared"] == "event + 0s"
    assert found["lateness"] is None


def test_all_that_is_wrong_with_the_files_is_told_at_once(bank):
    bank.define(features='latest("amount"), latest("status")')
    bank.write("a", status=["x"] * 4)
    bank.write("b", status=[1] * 4)
    bank.write("c", amount=["1"] * 4, status=["x"] * 4)
    said = bank.check(4)
    assert {(e["code"], e["where"], e["what"].split(":")[1].split(" is ")[0].strip()) for e in said["errors"]} == {
        ("FS322", "data/b.parquet", "column 'status'"),
        ("FS322", "data/c.parquet", "column 'amount'"),
    }
    assert "its rows were not looked at" in bank.text()


def flip(path: Path, column: str) -> None:
    """One bit of the values of a column, which lie plainly before the end of its chunk."""
    group = pq.read_metadata(path).row_group(0)
    chunk = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == column)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_found_by_the_checksum_of_its_page_in_every_file_and_column_that_is_used(bank):
    bank.define(features='latest("amount"), latest("status")')
    for file in "abc":
        bank.write(file, status=["x"] * 4, unused=[1] * 4)
    flip(bank.folder / "data/a.parquet", "amount")
    flip(bank.folder / "data/b.parquet", "paid_at")
    flip(bank.folder / "data/b.parquet", "status")
    flip(bank.folder / "data/c.parquet", "unused")
    said = bank.check(4)
    assert {(e["code"], e["where"], e["what"].split()[1]) for e in said["errors"]} == {
        ("FS325", "data/a.parquet", "'amount'"),
        ("FS325", "data/b.parquet", "'paid_at'"),
        ("FS325", "data/b.parquet", "'status'"),
    }
    assert all("CRC" in e["what"] for e in said["errors"])


def test_rows_that_share_key_and_time_are_doubtful_where_no_row_key_says_what_they_are(bank):
    bank.define()
    bank.write(customer_id=[1, 1, 2, None], paid_at=[T0, T0, T0, T0])
    said = bank.check()
    assert of_payments(said)["keys"] == [
        {"columns": ["customer_id"], "groups": 2, "repeated": 1, "rows_repeated": 2, "most": 2, "nulls": 1}
    ]
    assert said["result"]["warnings"] == [
        "source payments: 2 rows share customer_id and paid_at with another (1 groups, of at most 2): each is a fact, "
        "unless row_key says which are versions of one"
    ]
    bank.define('row_key=["amount"], delay="0s"')
    assert bank.check()["result"]["warnings"] == []


def test_versions_are_counted_and_ambiguous_ones_named(bank):
    bank.define('created_timestamp="loaded_at", row_key=["payment_id"]', SUM)
    bank.write(n=6, payment_id=["a", "a", "a", "b", "c", None], customer_id=[7] * 6, loaded_at=[T0, T0, T0 + 1, T0, T0, T0])
    found = of_payments(bank.check())
    assert found["row_key"] == {
        "columns": ["payment_id"], "groups": 3, "repeated": 1, "rows_repeated": 3, "most": 3, "nulls": 1,
    }  # fmt: skip
    assert found["left_out"] == {"spent": {"row_key_null": 1, "ambiguous_versions": 1}}


def test_rows_after_now_are_doubtful(bank):
    bank.define('created_timestamp="loaded_at"')
    later = 4_000_000_000 * SECOND
    bank.write(paid_at=[T0, T0, T0, later], loaded_at=[T0, T0, later, later])
    said = bank.check()
    found = of_payments(said)
    assert (found["event_time"]["future"], found["known_time"]["future"]) == (1, 2)
    assert [w for w in said["result"]["warnings"] if "after now" in w] == [
        "source payments: 1 rows lie after now by their event time, the last at 2096-10-02T07:06:40.000000Z",
        "source payments: 2 rows lie after now by their known time, the last at 2096-10-02T07:06:40.000000Z",
    ]


def test_times_out_of_range_and_null_are_counted(bank):
    bank.define('delay="0s", time_range=("2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z")')
    bank.write(paid_at=[T0, None, T0 + 400 * DAY, T0 + 1])
    time = of_payments(bank.check())["event_time"]
    assert (time["null"], time["out_of_range"], time["last"]) == (1, 1, "2023-11-14T22:13:20.000001Z")


def test_lateness_is_told_in_quantiles_and_in_shares(bank):
    """100 rows: 49 at once, one known before its event, 48 after 40 seconds, one after a day and one after five."""
    bank.define('created_timestamp="loaded_at"')
    late = [0] * 49 + [-5] + [40 * SECOND] * 48 + [DAY, 5 * DAY]
    bank.write(n=100, loaded_at=[T0 + i * DAY + by for i, by in enumerate(late)])
    lateness = of_payments(bank.check())["lateness"]
    shares = {part["up_to_us"]: part["rows"] for part in lateness.pop("histogram") if part["rows"]}
    assert lateness == {
        "column": "loaded_at", "rows": 100, "p50_us": 0, "p90_us": 40 * SECOND, "p99_us": DAY, "max_us": 5 * DAY,
        "before_event": 1, "late": 50, "late_share": 0.5, "suggested_delay": "1d",
    }  # fmt: skip
    assert shares == {0: 50, 60 * SECOND: 48, DAY: 1, 7 * DAY: 1}
    text = bank.text()
    assert 'lateness by loaded_at: p50 0 s, p90 40 s, p99 1 d, max 5 d; delay="1d" would cover 99 %' in text
    assert "    at once       ███████████████                 50 %" in text


@pytest.mark.parametrize(
    ("late_by", "told"),
    [(1, 1), (999, 999), (1_001, 1_010), (999_999, 1_000_000), (1_234_567, 1_240_000), (5 * DAY + 1, 433_000_000_000)],
)
def test_lateness_has_three_digits_and_is_never_told_shorter_than_it_is(bank, late_by, told):
    bank.define('created_timestamp="loaded_at"')
    bank.write(n=2, loaded_at=[T0 + late_by, T0 + DAY + 10 * DAY])
    lateness = of_payments(bank.check())["lateness"]
    assert (lateness["p50_us"], lateness["max_us"], lateness["late"]) == (told, 10 * DAY, 2)


def test_a_column_that_may_tell_the_loading_is_named_with_the_delay_it_suggests(bank):
    bank.define(options="")
    late = [40 * SECOND] * 99 + [2 * DAY]
    bank.write(n=100, seen_at=[T0 + i * DAY + by for i, by in enumerate(late)], born_at=[0] * 100)
    said = bank.check()
    assert [c["column"] for c in of_payments(said)["load_time_candidates"]] == ["seen_at"]
    assert said["result"]["warnings"][-1] == (
        'source payments: assumed known at once; declare created_timestamp, or delay (delay="0s")'
    )
    assert said["result"]["warnings"][0] == (
        'source payments: if seen_at tells when rows became known, declare it: created_timestamp="seen_at", or delay="1m", '
        "which covers 99 % of the rows"
    )


def test_a_delay_too_short_for_what_a_column_tells_is_a_warning_and_one_long_enough_is_none(bank):
    bank.define('delay="1m"')
    bank.write(n=4, seen_at=[T0 + i * DAY + by * SECOND for i, by in enumerate((60, 50, 3600, 10))])
    (warning,) = bank.check()["result"]["warnings"]
    assert "if seen_at tells when rows became known, delay=1m is too short for 25 % of them" in warning
    assert 'delay="1h"' in warning
    bank.define('delay="1h"')
    assert bank.check()["result"]["warnings"] == []


STATIC = """
countries = ParquetSource(name="countries", path="countries.parquet", static=True)
lands = FeatureView(name="lands", entities=[customer], source=countries, features=[latest("land")])
"""


def test_a_static_source_with_two_rows_of_a_key_is_an_error_and_all_others_are_still_told(bank):
    bank.define(more=STATIC)
    bank.write()
    pq.write_table(pa.table({"customer_id": [1, 1, 2, None], "land": list("abcd")}), bank.folder / "countries.parquet")
    said = bank.check(4)
    assert [e["code"] for e in said["errors"]] == ["FS308"]
    (key,) = said["result"]["data"]["countries"]["keys"]
    assert (key["repeated"], key["nulls"]) == (1, 1)
    assert of_payments(said)["rows"] == 4


def test_a_source_that_no_view_reads_is_looked_at_as_well(bank):
    unread = 'loose = ParquetSource(name="loose", path="data/*.parquet", event_timestamp="payed_at", delay="0s")\n'
    bank.define(more=unread)
    bank.write()
    said = bank.check(3)
    assert [(e["code"], e["try"]) for e in said["errors"]] == [("FS203", "paid_at")]
    bank.define(more=unread.replace("payed", "paid"))
    assert bank.check()["result"]["data"]["loose"]["event_time"]["column"] == "paid_at"


def test_files_that_are_gone_and_files_that_are_none_are_told_for_each_source(bank):
    bank.define()
    (bank.folder / "data" / "a.parquet").write_text("no Parquet")
    assert [e["code"] for e in bank.check(4)["errors"]] == ["FS325"]
