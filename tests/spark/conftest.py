"""What the tests of Spark share: one local session. They are collected only where pyspark is, in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from featurestore.compiler.spark.scalars import SETTINGS
from tests import needs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

collect_ignore_glob = [] if find_spec("pyspark") else ["test_*.py"]


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A plain session that has been told what our statements rely on, and nothing else."""
    needs.require_program("java")
    from pyspark.sql import SparkSession

    settings = {"spark.driver.memory": "2g", "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", **SETTINGS}
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    yield session
    session.stop()
