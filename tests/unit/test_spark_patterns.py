"""Which patterns Spark is trusted with, and what becomes of a definition that holds another."""

from __future__ import annotations

import pytest

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, latest
from featurestore.compiler.files import compiled
from featurestore.compiler.spark.patterns import in_java
from featurestore.compiler.spark.refused import REFUSED
from featurestore.error_codes import CODES
from featurestore.errors import DefinitionError

SCHEMA = {"id": "int64", "s": "string"}
AMBIGUOUS = r"([a-z]+\.)+[a-z]+"


@pytest.mark.parametrize(
    "pattern, java",
    [
        ("c[0-9]{7}", r"\A(?:c[0-9]{7}+)\z"),
        ("(a|b)*", r"\A(?:(?:(?:a|b))*+)\z"),
        (r"[a-z]+(\.[a-z]+)+", r"\A(?:[a-z]++(?:\x{2E}[a-z]++)++)\z"),  # one character decides: possessive throughout
        ("[^@]+@[^@]+", r"\A(?:[^\x{40}]++\x{40}[^\x{40}]++)\z"),
        (".*foo.*", r"\A(?:[^\x{A}]*foo[^\x{A}]*)\z"),  # ten thousand ways
        ("(a|ab)(c|bcd)", r"\A(?:(?:a|ab)(?:c|bcd))\z"),
        ("(a|a)*b", r"\A(?:(?:(?:a|a))*+b)\z"),
        ("(|a)+", r"\A(?:(?:(?:a|))++)\z"),  # nothing is tried last
        ("[!-&&-z]", r"\A(?:[\x{21}-\x{26}\x{26}-z])\z"),  # && is an intersection to Java
    ],
)
def test_how_a_pattern_is_written_for_java(pattern: str, java: str) -> None:
    assert in_java(pattern) == java


@pytest.mark.parametrize("pattern", [AMBIGUOUS, "(a|ab)*", "(a?){30}a{30}", ".*.*.*.*=", "(a?|b?)*c"])
def test_a_pattern_that_tries_too_many_ways_is_refused(pattern: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        in_java(pattern)
    assert caught.value.code == "FS240"
    assert caught.value.hint == REFUSED["FS240"].instead


def test_every_refusal_has_a_code_that_is_described() -> None:
    assert set(REFUSED) <= set(CODES)


def test_compile_says_why_and_writes_the_rest() -> None:
    source = ParquetSource(name="t", path="t.parquet", static=True, schema=SCHEMA)
    feature = latest(f"regexp_full_match(s, '{AMBIGUOUS}')", name="is_host")
    view = FeatureView(name="v", entities=[Entity(name="e", join_keys=["id"])], source=source, features=[feature])
    bound = FeatureStore(definitions=[FeatureService(name="w", features=[view])]).bound
    files = compiled(bound)
    assert files["spark/training_set/w.sql"].startswith("-- FS240 pattern ")
    assert "regexp_full_match" in files["duckdb/training_set/w.sql"]
    assert not [name for name in compiled(bound, "duckdb") if name.startswith("spark/")]
    with pytest.raises(DefinitionError, match="FS240"):
        compiled(bound, "spark")
