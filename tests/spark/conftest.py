"""One Spark for all tests here: a classic session on this machine, started when the first test asks for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from featurestore.engines.spark import SparkSettings
from tests import needs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

collect_ignore_glob: list[str] = []
try:
    import pyspark  # noqa: F401
except ImportError:
    collect_ignore_glob.append("test_*.py")

CONF = {"spark.driver.memory": "1500m", "spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2"}


@pytest.fixture(scope="session")
def spark_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSettings]:
    """Settings of the one session; it is stopped at the end of the run."""
    needs.require("java", shutil.which("java") is not None, "java is not installed")
    folder: Path = tmp_path_factory.mktemp("spark")
    conf = {**CONF, "spark.local.dir": str(folder / "local"), "spark.sql.warehouse.dir": str(folder / "warehouse")}
    yield SparkSettings(folder / "work", master="local[2]", conf=conf)
    from pyspark.sql import SparkSession

    if (running := SparkSession.getActiveSession()) is not None:
        running.stop()


@pytest.fixture(scope="session")
def spark(spark_settings: SparkSettings) -> SparkSession:
    """The session itself, set as an engine sets it."""
    from featurestore.engines.spark import starting

    return starting.start(spark_settings)
