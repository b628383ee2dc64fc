"""The compiled SQL of a small registry, byte for byte: a reviewer sees every change of the compiler as a diff.

`pytest tests/golden --update-golden` writes the files anew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlglot

from featurestore import (
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
from featurestore.compiler.files import compiled, difference, obsolete
from featurestore.errors import SourceError
from featurestore.registry import BoundRegistry, Registry
from tests.needs import ROOT

GOLDEN = Path(__file__).parent / "sql"

CUSTOMER = Entity(name="customer", join_keys=["customer_id"])
SHOP = Entity(name="shop", join_keys=["country", "shop_no"])

VISITS = ParquetSource(
    name="visits", path="visits.parquet", event_timestamp="seen_at",
    schema={"customer_id": "int64", "seen_at": "timestamp", "page": "string"},
)  # fmt: skip
PRICES = ParquetSource(
    name="prices", path="prices/*.parquet", event_timestamp="valid_from", created_timestamp="loaded_at", created_null="event",
    delay="2h",
    schema={"country": "string", "shop_no": "int32", "valid_from": "date32", "loaded_at": "timestamp",
            "price": "decimal(9, 2)"},
)  # fmt: skip
PAYMENTS = ParquetSource(
    name="payments", path="payments/*.parquet", event_timestamp="paid_at", created_timestamp="loaded_at",
    row_key=["payment_id"], row_order="version", deleted="is_deleted",
    schema={"payment_id": "int64", "version": "int32", "is_deleted": "bool", "paid_at": "timestamp", "loaded_at": "timestamp",
            "payer": "uint64", "amount": "double", "cents": "int64", "status": "string", "Shop": "string"},
)  # fmt: skip
MASTER = ParquetSource(
    name="master", path="master.parquet", static=True,
    schema={"customer_id": "string", "tier": "string", "limit": "double"},
)  # fmt: skip
RULES = ParquetSource(
    name="rules", path="rules.parquet", event_timestamp="from_at", delay="0s",
    schema={"from_at": "timestamp", "floor": "double"},
)  # fmt: skip

SIMPLE = FeatureView(name="simple", entities=[CUSTOMER], source=VISITS, features=[latest("page")])
COMPOSITE = FeatureView(
    name="composite", entities=[SHOP], source=PRICES, ttl="30d",
    features=[latest("price"), latest("price * 1.19 >= 10", name="is_dear")],
)  # fmt: skip
VERSIONS = FeatureView(
    name="versions", entities=[CUSTOMER], source=PAYMENTS, where="status = 'settled' and amount > 0", ttl="90d",
    join_key_map={"customer_id": "payer"},
    features=[
        latest("amount", name="last_amount"),
        agg.count(window=["1d", "7d"]),
        agg.sum("amount", window="7d"),
        agg.sum("cents", window="7d", offset="7d"),
        agg.sum("cents", window=None),
        agg.count_distinct('"Shop"', window="7d", where="amount > 10", name="shops_7d"),
    ],
)  # fmt: skip
EXACT = FeatureView(
    name="exact", entities=[CUSTOMER], source=VISITS, allow_exact_matches=True,
    features=[latest("page", name="this_page"), agg.count(window="1h", name="visits_1h")],
)  # fmt: skip
STATIC = FeatureView(
    name="static", entities=[Entity(name="account", join_keys=["account_id"])], source=MASTER,
    join_key_map={"account_id": "customer_id"}, where='"limit" > 0',
    features=[latest("tier"), latest('"limit" / 12', name="monthly_limit")],
)  # fmt: skip
GLOBAL = FeatureView(name="global_rule", entities=[], source=RULES, ttl="365d", features=[latest("floor")])

LATE = LabelView(
    name="late",
    entities=[CUSTOMER],
    source=PAYMENTS,
    where="status = 'charged back'",
    join_key_map={"customer_id": "payer"},
    label=agg.sum("cents", window="30d", name="charged_back_30d"),
    gap="1d",
    settle="60d",
)
ON_DEMAND = OnDemandFeatureView(
    name="amount_vs_usual", inputs=[VERSIONS, STATIC.with_prefix("own_")], request={"amount": "double", "is_gift": "bool"},
    features={
        "amount_ratio": "amount / nullif(amount_sum_7d / count_7d, 0)",
        "is_over_limit": "amount > own_monthly_limit AND NOT is_gift",
        "hour_asked": "hour(as_of)",
    },
)  # fmt: skip

SERVICES = [
    FeatureService(name="simple", features=[SIMPLE]),
    FeatureService(name="composite_keys", features=[COMPOSITE.with_join_key_map({"country": "land"}).with_prefix("price_")]),
    FeatureService(name="versions_and_windows", features=[VERSIONS]),
    FeatureService(name="exact_static_global", features=[EXACT, STATIC, GLOBAL]),
    FeatureService(name="on_demand", features=[VERSIONS[["count_7d"]], ON_DEMAND]),
    FeatureService(
        name="one_view_twice",
        features=[
            VERSIONS[["count_7d", "last_amount"]],
            VERSIONS[["count_7d"]].alias("boss").with_join_key_map({"customer_id": "boss_id"}).with_prefix("boss_"),
        ],
    ),
    FeatureService(name="labelled", features=[EXACT[["this_page"]]], labels=[LATE]),
]  # fmt: skip


def bound() -> BoundRegistry:
    registry = Registry.of(SERVICES)
    return registry.bind({name: source.schema or {} for name, source in registry.sources.items()})


FILES = compiled(bound())


def test_the_golden_files_are_those_compiled(update_golden: bool) -> None:
    if update_golden:
        for name in obsolete(GOLDEN, FILES):
            (GOLDEN / name).unlink()
        for name, text in FILES.items():
            (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / name).write_text(text, encoding="utf-8")
    lie = sorted(p.relative_to(GOLDEN).as_posix() for p in GOLDEN.rglob("*") if p.is_file())
    assert lie == list(FILES)


@pytest.mark.parametrize("name", FILES)
def test_compiled_is_golden(name: str, update_golden: bool) -> None:
    assert (GOLDEN / name).read_bytes().decode() == FILES[name]


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".sql")])
def test_every_statement_is_sql_of_its_dialect_with_a_comment_over_each_step(name: str) -> None:
    text, dialect = FILES[name], name.split("/")[0]
    statements = [s for s in sqlglot.parse(text, dialect=dialect) if s is not None]
    assert len(statements) == len(re.findall(r";$", text, re.M))
    for statement in statements:
        assert isinstance(statement, sqlglot.exp.Query)
    for step in re.findall(r"^(?:-- .*\n)?(\w+|\"[^\"]+\") AS (?:NOT )?(?:MATERIALIZED )?\($", text, re.M):
        assert re.search(rf"^-- \S.*\n{re.escape(step)} AS ", text, re.M), step


@pytest.mark.parametrize("name", FILES)
def test_no_file_holds_a_version_a_path_or_a_clock(name: str) -> None:
    import duckdb
    import pyarrow

    import featurestore

    text = FILES[name]
    told = [
        duckdb.__version__,
        pyarrow.__version__,
        sqlglot.__version__,
        str(ROOT),
        ".parquet",
        "read_parquet",
        "20[0-9][0-9]-",
    ]
    told += [f"v{featurestore.__version__}"]
    assert [word for word in told if re.search(re.escape(word) if "[" not in word else word, text)] == []
    assert text.endswith("\n")
    assert not re.search(r"[ \t]+$", text, re.M)
    assert "\r" not in text


def test_the_text_does_not_depend_on_hash_seeds_zones_or_languages() -> None:
    program = "import json, tests.golden.test_sql as t; print(json.dumps(t.FILES))"
    environment = {**os.environ, "PYTHONHASHSEED": "4242", "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout) == FILES


def test_the_order_of_definitions_does_not_show() -> None:
    registry = Registry.of(SERVICES[::-1])
    assert compiled(registry.bind({name: source.schema or {} for name, source in registry.sources.items()})) == FILES


def test_the_difference_is_empty_or_a_diff(tmp_path: Path) -> None:
    assert difference(GOLDEN, FILES) == ""
    name = "duckdb/latest/simple.sql"
    changed = difference(GOLDEN, {**FILES, name: FILES[name].replace("simple", "other", 1)})
    assert changed.startswith(f"--- sql/{name}\n+++ compiled/{name}\n")
    assert (
        difference(tmp_path, {"plan/new.txt": "a\n"}) == "--- sql/plan/new.txt\n+++ compiled/plan/new.txt\n@@ -0,0 +1 @@\n+a\n"
    )


def test_what_nobody_defines_any_more_is_obsolete_and_foreign_files_are_not(tmp_path: Path) -> None:
    for name in ("plan/old.txt", "duckdb/latest/old.sql", "plan/notes.md", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    assert obsolete(tmp_path, FILES) == ["duckdb/latest/old.sql", "plan/old.txt"]
    assert "-x\n" in difference(tmp_path, {})


def test_the_committed_sql_is_what_the_registry_compiles_to() -> None:
    if not (ROOT / "sql").is_dir():
        pytest.skip("sql/ has not been compiled")
    try:
        files = compiled(FeatureStore(ROOT).bound)
    except SourceError as error:
        pytest.fail(f"types come from neither data nor sql/manifest.json: {error}")
    assert difference(ROOT / "sql", files) == ""
