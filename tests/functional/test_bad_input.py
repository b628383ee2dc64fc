"""Wrong input ends in a clear error: the right exit code, what, where, what is known, what to try; and nothing written.

One small project that works, and one thing wrong with it at a time.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.cli import main
from tests.functional.conftest import Cli, contents, environment, process

DEFINITIONS = """\
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

customer = Entity(name="customer", join_keys=["customer_id"])
payments = ParquetSource(
    name="payments",
    path="data/payments/*.parquet",
    event_timestamp="paid_at",
    delay="0s",
)
card_payments = FeatureView(
    name="card_payments",
    entities=[customer],
    source=payments,
    ttl="90d",
    features=[latest("amount"), agg.sum("amount", window="7d"), agg.count(window="1d")],
)
fraud = FeatureService(name="fraud", features=[card_payments])
"""
DAY = 86_400_000_000
AWARE, NAIVE = pa.timestamp("us", "UTC"), pa.timestamp("us")
BUILD = ("build", "fraud", "--spine", "spine.parquet", "--output", "train.parquet")
MATERIALIZE = ("materialize", "--known-before", "2020-01-01T00:00:00Z")
GET = ("get", "fraud", "customer_id=1")


def payments(first: int, **replaced: Any) -> pa.Table:
    """Ten payments a day apart, from day `first` on."""
    columns = {
        "customer_id": pa.array([i % 3 for i in range(10)], pa.int64()),
        "paid_at": pa.array([(first + i) * DAY + 1 for i in range(10)], pa.int64()).cast(AWARE),
        "amount": pa.array([float(i) for i in range(10)]),
    }
    return pa.table({**columns, **replaced})


def spine(**replaced: Any) -> pa.Table:
    columns = {
        "customer_id": pa.array([0, 1, 2], pa.int64()),
        "as_of": pa.array([5 * DAY, 15 * DAY, 25 * DAY], pa.int64()).cast(AWARE),
        "label": pa.array([True, None, False]),
    }
    return pa.table({**columns, **replaced})


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, compiled and materialized, with a training set of before: what must not be touched."""
    folder = tmp_path_factory.mktemp("sound") / "shop"
    (folder / "data" / "payments").mkdir(parents=True)
    (folder / "registry").mkdir()
    (folder / "featurestore.toml").write_text('[project]\nname = "shop"\n')
    (folder / "registry" / "views.py").write_text(DEFINITIONS)
    pq.write_table(payments(0), folder / "data" / "payments" / "a.parquet")
    pq.write_table(payments(10), folder / "data" / "payments" / "b.parquet")
    pq.write_table(spine(), folder / "spine.parquet")
    files = ("--spine", str(folder / "spine.parquet"), "--output", str(folder / "train.parquet"))
    for arguments in (("compile",), (*BUILD[:2], *files), ("materialize", "--known-before", "2019-01-01T00:00:00Z")):
        assert main([*arguments, "--quiet", "--project", str(folder)]) == 0
    return folder


@pytest.fixture
def shop(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project to spoil; the shell's folder."""
    folder = tmp_path / "shop"
    shutil.copytree(sound, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def refused(cli: Cli, shop: Path) -> Callable[..., dict[str, Any]]:
    """`refused(arguments, exit code, code)`: the command fails so, says so in both forms, and changes no file."""

    def check(arguments: tuple[str, ...], code: int, error_code: str) -> dict[str, Any]:
        before = contents(shop)
        said = cli(*arguments, "--json")
        document = said.json
        assert (said.code, document["ok"], document["command"]) == (code, False, arguments[0])
        error = document["errors"][0]
        assert sorted(error) == ["code", "known", "try", "what", "where"]
        assert (error["code"], bool(error["what"])) == (error_code, True)
        told = cli(*arguments)
        assert told.code == code
        line = next(line for line in told.err.splitlines() if line.startswith("FS"))
        assert line.startswith(f"{error_code} {error['what']}")
        assert (" · try " in line) == bool(error["try"])
        assert "Traceback" not in said.err + told.err
        assert contents(shop) == before
        return error

    return check


# Definitions: exit 3, whatever the command

LABEL = (
    "__import__('featurestore').LabelView(name='label', entities=[customer], source=payments, "
    "label=agg.count(window='30d', name='count_1d'))"
)
BAD_DEFINITIONS = {
    "an unknown column": ('latest("amount")', 'latest("amout")', "FS203", "amount"),
    "an unknown key column": ('join_keys=["customer_id"]', 'join_keys=["client_id"]', "FS203", ""),
    "no event time": ('    event_timestamp="paid_at",\n    delay="0s",\n', "", "FS204", "event_timestamp"),
    "a ttl in months": ('ttl="90d"', 'ttl="3 months"', "FS211", "30d"),
    "a short ttl in months": ('ttl="90d"', 'ttl="3mo"', "FS211", "30d"),
    "now() in an expression": ('agg.sum("amount", window', 'agg.sum("amount * epoch(now())", name="x", window', "FS215", ""),
    "now() in a where": ('ttl="90d"', 'where="paid_at < now()"', "FS215", ""),
    "current_date": ('ttl="90d"', 'where="paid_at < current_date"', "FS215", ""),
    "random()": ('ttl="90d"', 'where="random() < 0.5"', "FS215", ""),
    "an aggregate without a window": (', window="7d"', "", "FS206", "window"),
    "an aggregate nobody knows": ("agg.sum(", "agg.avg(", "FS218", "mean"),
    "an aggregate of an unknown column": ('agg.sum("amount"', 'agg.sum("amout"', "FS203", "amount"),
    "an aggregate of another type": ('agg.sum("amount"', 'agg.any("amount"', "FS217", "bool"),
    "an aggregate of no column": ('agg.sum("amount", ', "agg.max(", "FS202", 'agg.max("amount", …)'),
    "a quantile in percent": ('agg.sum("amount"', 'agg.quantile("amount", q=95', "FS223", "q=0.95"),
    "a list of no length": ('agg.sum("amount"', 'agg.last_k("amount", k=0', "FS223", "k=3"),
    "a window of a month": ('window="7d"', 'window="1 month"', "FS211", "30d"),
    "a window backwards": ('window="7d"', 'window="-7d"', "FS211", "30d"),
    "a window of no length": ('window="7d"', 'window="0d"', "FS206", "1h"),
    "a name that is none": ('name="card_payments"', 'name="Card-Payments"', "FS201", "card_payments"),
    "a time zone nobody knows": ('delay="0s"', 'timezone="Mars/Olympus"', "FS212", "IANA"),
    "features that differ in case only": ('latest("amount")', 'latest("amount"), latest("amount", name="AMOUNT")', "FS201", ""),
    "two features of one name": ('latest("amount")', 'latest("amount"), latest("amount")', "FS207", "name="),
    "two definitions of one name": ("fraud = ", "twin = Entity(name='customer', join_keys=['x'])\nfraud = ", "FS209", "rename"),
    "a file that cannot be imported": ("ttl=", "ttl==", "FS210", ""),
    "an option nobody knows": ("ttl=", "tll=", "FS210", ""),
    "a feature view as a label": ("[card_payments])", "[card_payments], labels=[card_payments])", "FS231", "features="),
    "a label view as a feature": ("[card_payments])", f"[card_payments, {LABEL}])", "FS231", "labels="),
    "a label without end": ("[card_payments])", f"[card_payments], labels=[{LABEL}])".replace("'30d'", "None"), "FS230", "30d"),
    "a label named like a feature": ("[card_payments])", f"[card_payments], labels=[{LABEL}])", "FS207", "name="),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DEFINITIONS)
def test_a_definition_with(case, refused, shop):
    old, new, code, hint = BAD_DEFINITIONS[case]
    assert DEFINITIONS.count(old) == 1
    (shop / "registry" / "views.py").write_text(DEFINITIONS.replace(old, new))
    for arguments in (("check",), ("compile",), BUILD, MATERIALIZE, ("explain", "fraud")):
        error = refused(arguments, 3, code)
        assert hint in error["try"]
        assert "registry/views.py:" in error["where"], "errors of definitions name file and line"


# Sources: exit 4


def rewrite(shop: Path, name: str, table: pa.Table) -> None:
    pq.write_table(table, shop / "data" / "payments" / name)


def remove_all(shop: Path) -> None:
    for file in (shop / "data" / "payments").iterdir():
        file.unlink()


def damage(shop: Path, change: Callable[[bytes], bytes]) -> None:
    file = shop / "data" / "payments" / "b.parquet"
    file.write_bytes(change(file.read_bytes()))


def text_amounts() -> pa.Array:
    return pa.array([str(i) for i in range(10)])


def naive_times() -> pa.Array:
    return payments(20)["paid_at"].cast(pa.int64()).cast(NAIVE)


def no_times() -> pa.Table:
    return payments(20, paid_at=pa.nulls(10, AWARE))


BAD_SOURCES = {
    "a glob without match": (remove_all, "FS321", "data/payments/*.parquet"),
    "an empty file": (lambda s: damage(s, lambda b: b""), "FS325", "data/payments/b.parquet"),
    "a truncated file": (lambda s: damage(s, lambda b: b[: len(b) // 2]), "FS325", "data/payments/b.parquet"),
    "a file that is not Parquet": (lambda s: damage(s, lambda b: b"customer_id,paid_at\n"), "FS325", "data/payments/b.parquet"),
    "a damaged page": (lambda s: damage(s, lambda b: b[:4] + b"\xff" * 90 + b[94:]), "FS325", "b.parquet"),
    "another type in one file": (lambda s: rewrite(s, "b.parquet", payments(20, amount=text_amounts())), "FS322", "b.parquet"),
    "a column missing in one file": (lambda s: rewrite(s, "b.parquet", payments(20).drop("amount")), "FS322", "b.parquet"),
    "naive and aware files": (lambda s: rewrite(s, "b.parquet", payments(20, paid_at=naive_times())), "FS324", "b.parquet"),
    "names that differ in case": (lambda s: rewrite(s, "b.parquet", payments(20, Amount=text_amounts())), "FS323", "b.parquet"),
    "mostly NULL times": (lambda s: rewrite(s, "c.parquet", pa.concat_tables([no_times()] * 5)), "FS327", "payments"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_a_source_with(case, refused, shop):
    spoil, code, named = BAD_SOURCES[case]
    spoil(shop)
    for arguments in (BUILD, ("materialize",)):
        error = refused(arguments, 4, code)
        assert named in error["what"] + error["where"]


# Spines: exit 4

BAD_SPINES = {
    "a NULL as_of": ({"as_of": pa.array([DAY, None, DAY], AWARE)}, "FS300", "row 1"),
    "an unreadable as_of": ({"as_of": pa.array(["2026-01-01T00:00:00Z", "soon", None])}, "FS300", "soon"),
    "no as_of": ({"as_of": None}, "FS303", "as_of"),
    "an as_of of integers": ({"as_of": pa.array([1, 2, 3])}, "FS303", "int64"),
    "no key": ({"customer_id": None}, "FS303", "customer_id"),
    "a key of text": ({"customer_id": pa.array(["0", "1", "2"])}, "FS302", "string"),
    "a key of floats": ({"customer_id": pa.array([0.0, 1.0, 2.0])}, "FS303", "float"),
    "a column named like a feature": ({"amount": pa.array([1, 2, 3])}, "FS304", "amount"),
    "a column named like a feature but for case": ({"AMOUNT": pa.array([1, 2, 3])}, "FS304", "AMOUNT"),
    "names that differ in case only": ({"LABEL": pa.array([1, 2, 3])}, "FS304", "LABEL"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_SPINES)
def test_a_spine_with(case, refused, shop):
    replaced, code, named = BAD_SPINES[case]
    table = spine()
    for name, column in replaced.items():
        table = table.drop_columns(name) if name in table.column_names else table
        table = table if column is None else table.append_column(name, column)
    pq.write_table(table, shop / "spine.parquet")
    assert named in refused(BUILD, 4, code)["what"]


def test_a_spine_that_is_not_there(refused):
    arguments = ("build", "fraud", "--spine", "nowhere.parquet", "--output", "x.parquet")
    assert "nowhere.parquet" in refused(arguments, 4, "FS301")["what"]


def test_a_spine_that_is_truncated(refused, shop):
    file = shop / "spine.parquet"
    file.write_bytes(file.read_bytes()[:100])
    assert refused(BUILD, 4, "FS301")["where"] == "spine.parquet"


# The command line: exit 2

TYPED_WRONG = {
    "an unknown service to build": ((BUILD[0], "fruad", *BUILD[2:]), "FS101", ["fraud"], "fraud"),
    "an unknown service to explain": (("explain", "fruad"), "FS101", ["fraud"], "fraud"),
    "an unknown service to get": (("get", "fruad", "customer_id=1"), "FS501", ["fraud"], "fraud"),
    "an unknown view": (("materialize", "card_payment"), "FS101", ["card_payments"], "card_payments"),
    "an unknown engine": ((*BUILD, "--engine", "duck"), "FS102", ["duckdb", "spark"], None),
    "an unknown include": ((*BUILD, "--include", "stati"), "FS102", ["status", "event_timestamp"], None),
    "an unknown dialect": (("compile", "--dialect", "oracle"), "FS102", ["duckdb", "spark"], None),
    "an unknown zone": ((*BUILD, "--timezone", "Mars/Olympus"), "FS212", [], None),
    "a lag in months": ((*BUILD, "--serving-lag", "1mo"), "FS211", [], None),
    "a memory limit that is no size": ((*BUILD, "--memory-limit", "plenty"), "FS102", [], "4GB"),
    "a cut-off without offset": ((*BUILD, "--known-before", "2026-01-01T00:00:00"), "FS103", [], None),
    "an output of no kind": ((*BUILD[:-1], "x.xls"), "FS106", [".parquet", ".csv"], None),
    "an output into no folder": ((*BUILD[:-1], "no/x.csv"), "FS106", [], "mkdir -p no"),
    "a label that is not there": ((*BUILD, "--label", "labl"), "FS110", ["customer_id", "as_of", "label"], "label"),
    "a label that is a key": ((*BUILD, "--label", "customer_id"), "FS110", ["label"], None),
    "a watermark in the future": (("materialize", "--known-before", "2999-01-01T00:00:00Z"), "FS108", [], None),
    "an unknown key": (("get", "fraud", "customer=1"), "FS502", ["customer_id"], "customer_id"),
    "a missing key": (("get", "fraud"), "FS502", ["customer_id"], "customer_id=…"),
    "a key given twice": (("get", "fraud", "customer_id=1", "customer_id=2"), "FS502", [], None),
    "a key without value": (("get", "fraud", "customer_id"), "FS502", ["customer_id"], "customer_id=…"),
    "a key of the wrong type": (("get", "fraud", "customer_id=one"), "FS504", [], "customer_id=42"),
    "a key with a fraction": (("get", "fraud", "customer_id=1.0"), "FS504", [], None),
    "an unknown request column": ((*GET, "--request", "amount=1"), "FS502", [], None),
    "an as_of before the watermark": ((*GET, "--as-of", "2001-01-01T00:00:00Z"), "FS503", [], None),
    "an as_of without offset": ((*GET, "--as-of", "2026-01-01"), "FS103", [], None),
    "an unknown option": (("status", "--jsn"), "FS100", ["--json"], "--json"),
    "a missing option": (("build", "fraud"), "FS100", [], "featurestore build --help"),
    "a folder that is no project": (("status", "--project", "data"), "FS107", [], None),
    "a folder that is taken": (("init", "data"), "FS104", [], "an empty folder"),
    "no rows to generate": (("init", "new", "--rows", "0"), "FS102", [], None),
}  # fmt: skip


@pytest.mark.parametrize("case", TYPED_WRONG)
def test_on_the_command_line(case, refused):
    arguments, code, known, hint = TYPED_WRONG[case]
    error = refused(arguments, 2, code)
    assert error["known"] == known or not known
    assert hint is None or hint in error["try"]


def test_a_command_nobody_knows(cli, shop):
    said = cli("buidl", "--json")
    assert (said.code, said.json["errors"][0]["try"]) == (2, "featurestore build")


@pytest.mark.parametrize(
    "text, named",
    [
        ('[project]\nname = "shop"\n[ofline]\n', "ofline"),
        ('[project]\nname = "shop"\ncolour = 1\n', "project.colour"),
        ('[server]\nport = "many"\n', "server.port"),
        ('[offline]\nmemory_limit = "lots"\n', "offline.memory_limit"),
        ("format = 99\n", "99"),
        ("[project\n", "cannot be read"),
    ],
)
def test_settings_that_are_wrong(text, named, refused, shop):
    (shop / "featurestore.toml").write_text(text)
    for arguments in (BUILD, MATERIALIZE, GET, ("status",)):
        error = refused(arguments, 2, "FS107")
        assert named in error["what"]
        assert error["where"] == "featurestore.toml"


# The store and the machine: exit 5

HOLD = """
import sys
from pathlib import Path
from featurestore.online.lmdb import LmdbStore
with LmdbStore(Path(".featurestore/online")).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def another_materializer(shop: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the right to materialize, until it is left."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=shop, env=environment(), **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other
        other.communicate()


def test_a_store_that_another_process_is_filling(refused, cli, shop):
    with another_materializer(shop) as other:
        error = refused(("materialize",), 5, "FS401")
        assert str(other.pid) in error["what"]
        assert cli(*GET).code == 0, "look-ups go on"
    assert cli("materialize").code == 0, "a lock goes with its holder"


def catalog_entry(shop: Path, key: bytes, value: bytes) -> None:
    """Write below the store's own hands, as another version would."""
    with lmdb.open(str(shop / ".featurestore" / "online"), max_dbs=600, map_size=1 << 30, lib_version=0) as env:
        catalog = env.open_db(b"catalog")
        with env.begin(write=True) as transaction:
            transaction.put(key, value, db=catalog)


def test_a_store_of_a_newer_format(refused, shop):
    catalog_entry(shop, b"f", b"99")
    for arguments in (("materialize",), GET, ("status",)):
        error = refused(arguments, 5, "FS404")
        assert "99" in error["what"]
        assert "newer featurestore" in error["try"]


def test_a_service_of_a_newer_format(refused, shop):
    catalog_entry(shop, b"mservice/fraud", b'{"format": 99}')
    refused(GET, 5, "FS404")


def test_a_store_that_is_no_store(refused, shop):
    (shop / ".featurestore" / "online" / "data.mdb").write_bytes(b"not a database" * 1000)
    for arguments in (("materialize",), GET, ("status",)):
        refused(arguments, 5, "FS403")


def small_files_only() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))


def many_rows(shop: Path) -> None:
    """So many, and so unlike each other, that no output fits where little is left."""
    rows, draw = 20_000, random.Random(1)
    at = pa.array([DAY + i for i in range(rows)], pa.int64()).cast(AWARE)
    keys, amounts = pa.array(range(rows)), pa.array([draw.random() for _ in range(rows)])
    pq.write_table(pa.table({"customer_id": keys, "as_of": at, "note": amounts}), shop / "spine.parquet")
    rewrite(shop, "c.parquet", pa.table({"customer_id": keys, "paid_at": at, "amount": amounts}))


@pytest.mark.parametrize("arguments", [BUILD, ("materialize",)], ids=["build", "materialize"])
def test_a_file_that_may_not_grow(arguments, shop, cli):
    many_rows(shop)
    before = contents(shop)
    said = process(*arguments, "--json", cwd=shop, preexec_fn=small_files_only)
    assert (said.code, said.json["errors"][0]["code"]) == (5, "FS405"), said
    assert contents(shop) == before
    assert list((shop / ".featurestore" / "tmp").iterdir()) == []
    assert cli(*arguments).code == 0, "the next run mends it"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte, with 50 kB free."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    (folder / "filler").write_bytes(b"x" * (512 - 50) * 1024)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_for_the_output(refused, shop, tiny_disk):
    many_rows(shop)
    error = refused((*BUILD[:-1], str(tiny_disk / "train.parquet")), 5, "FS405")
    assert error["where"] == "train.parquet"
    assert [p.name for p in tiny_disk.iterdir()] == ["filler"]


def test_a_full_disk_for_the_online_store(shop, tiny_disk):
    (shop / "featurestore.toml").write_text(f'[online]\npath = "{tiny_disk}/online"\n')
    (tiny_disk / "filler").write_bytes(b"x" * 64 * 1024)
    assert process(*MATERIALIZE, cwd=shop).code == 0
    many_rows(shop)
    said = process("materialize", "--json", cwd=shop)
    assert (said.code, said.json["errors"][0]["code"]) == (5, "FS405")
    assert process(*GET, "--json", cwd=shop).json["result"]["watermarks"] == {"card_payments": "2020-01-01T00:00:00.000000Z"}


def test_an_output_nobody_may_write(refused, shop):
    (shop / "train.parquet").unlink()
    (shop / "train.parquet").mkdir()
    assert refused(BUILD, 5, "FS407")["where"] == "train.parquet"


def test_a_folder_that_no_build_wrote_is_never_replaced(refused, shop):
    somebodys = shop / "train.parquet"
    somebodys.unlink()
    (somebodys / "day=1").mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), somebodys / "day=1" / "part-00000.parquet")
    assert refused(BUILD, 5, "FS407")["where"] == "train.parquet"
    assert pq.read_table(somebodys / "day=1" / "part-00000.parquet")["x"].to_pylist() == [1]
