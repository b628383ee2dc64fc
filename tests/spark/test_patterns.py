"""Patterns mean the same to Java as to our matcher, and no text makes Java slow or deep on one that is not refused."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pyarrow as pa

from featurestore import patterns
from featurestore.compiler.spark import scalars
from featurestore.compiler.spark.patterns import in_java
from featurestore.dtypes import STRING
from featurestore.errors import DefinitionError
from featurestore.expressions import Call, Column, Literal
from tests.spark.asking import Operands
from tests.unit.test_patterns import PATTERNS, TEXTS, random_pattern

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def found(spark: SparkSession, folder: Path, asked: list[str], texts: list[str]) -> list[list[bool]]:
    """Per pattern, whether each text is what it says."""
    operands = Operands(spark, pa.table({"text": texts}), folder)
    calls = {f"is_{i}": Call("matches", (Column("text"), Literal(pattern))) for i, pattern in enumerate(asked)}
    answers = operands.ask({name: scalars.condition(call, {"text": STRING}, scalars.quoted) for name, call in calls.items()})
    return [answers[name].to_pylist() for name in calls]


def test_a_pattern_means_the_same_to_java(spark: SparkSession, tmp_path: Path) -> None:
    asked = [*PATTERNS, "[!-&&-z]+", "(a?|b)*", "(b|a?)*c", "(|a|b)+", "(a*b?)*c", "((a|)b)*"]
    for pattern, answers in zip(asked, found(spark, tmp_path, asked, list(TEXTS)), strict=True):
        assert answers == [patterns.matches(pattern, text) for text in TEXTS], (pattern, in_java(pattern))


def test_random_patterns_mean_the_same_to_java(spark: SparkSession, tmp_path: Path) -> None:
    rng = Random(11)
    texts = ["".join(rng.choice("aab\n-é") for _ in range(rng.randrange(7))) for _ in range(250)]
    asked = []
    while len(asked) < 250:
        pattern = random_pattern(rng, 3) or "a"
        if not refused(pattern):
            asked.append(pattern)
    met = 0
    for pattern, answers in zip(asked, found(spark, tmp_path, asked, texts), strict=True):
        assert answers == [patterns.matches(pattern, text) for text in texts], (pattern, in_java(pattern))
        met += any(answers) and not all(answers)
    assert met > 100


def refused(pattern: str) -> bool:
    try:
        in_java(pattern)
    except DefinitionError:
        return True
    return False


def test_no_text_makes_it_slow_or_deep(spark: SparkSession, tmp_path: Path) -> None:
    long = 200_000
    asked = ["(a|b)*", "(a*)*b", "(,[a-z]+)*", "((ab|c)+d)*", r"[a-z]+(\.[a-z]+)+", r"[^@]*@[^@]*\.a*"]
    texts = ["a" * long, "ab" * long, ",ab" * long, "abcd" * long, "a" + ".a" * long, "@." * 300, "a@" + "a." * 1_000]
    expected = [[patterns.matches(pattern, text) for text in texts] for pattern in asked]
    before = time.monotonic()
    assert found(spark, tmp_path, asked, texts) == expected
    assert time.monotonic() - before < 60
