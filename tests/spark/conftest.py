"""One Spark for all tests here: a classic session on this machine, started when the first test asks for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from featurestore.engines.spark import SparkSettings
from featurestore.scaffold.generate import generate
from tests import needs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tests.s3_server import S3Server

collect_ignore_glob: list[str] = []
try:
    import pyspark  # noqa: F401
except ImportError:
    collect_ignore_glob.append("test_*.py")

CONF = {
    "spark.driver.memory": "1500m",
    # What takes time here is code that runs once: the quick compiler of Java's two halves it.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.sql.adaptive.enabled": "false",
}


@pytest.fixture(scope="session")
def spark_settings(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSettings]:
    """Settings of the one session; it is stopped at the end of the run. Its executors have the keys of the object store in
    their environment, which is that of the moment in which it starts."""
    needs.require("java", shutil.which("java") is not None, "java is not installed")
    folder: Path = tmp_path_factory.mktemp("spark")
    conf = {**CONF, "spark.local.dir": str(folder / "local"), "spark.sql.warehouse.dir": str(folder / "warehouse")}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in s3_server.environment.items():
            environment.setenv(name, value)
        yield SparkSettings(folder / "work", master="local[2]", conf=conf)
    from pyspark.sql import SparkSession

    if (running := SparkSession.getActiveSession()) is not None:
        running.stop()


@pytest.fixture(scope="session")
def spark(spark_settings: SparkSettings) -> SparkSession:
    """The session itself, set as an engine sets it."""
    from featurestore.engines.spark import starting

    return starting.start(spark_settings)


@pytest.fixture(scope="session")
def reference(spark_settings: SparkSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's own definitions over a small year of generated data, set to that Spark. Read only."""
    folder = tmp_path_factory.mktemp("reference")
    shutil.copytree(needs.ROOT / "registry", folder / "registry", ignore=shutil.ignore_patterns("__pycache__"))
    generate(folder / "data", rows=3_000, seed=7)
    conf = "".join(f'"{name}" = "{value}"\n' for name, value in spark_settings.conf.items())
    (folder / "featurestore.toml").write_text(
        f'[project]\nname = "reference"\n[spark]\nmaster = "{spark_settings.master}"\ntimeout = "3m"\n'
        f'work = "{spark_settings.work}"\n[spark.conf]\n{conf}'
    )
    return folder


@pytest.fixture
def project(reference: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(reference, tmp_path / "project"))


@pytest.fixture(scope="session")
def connect_server(spark_settings: SparkSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Spark Connect server of this run's own."""
    import pyspark

    home = Path(pyspark.__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    conf = {
        **spark_settings.conf,
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
    }
    command = [str(home / "bin" / "spark-submit"), "--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
    command += ["--master", "local[2]", *(part for name, value in conf.items() for part in ("--conf", f"{name}={value}"))]
    environment = {**os.environ, "PYTHONPATH": str(needs.ROOT), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    log = tmp_path_factory.mktemp("connect") / "server.log"
    with log.open("wb") as told:
        server = subprocess.Popen([*command, "spark-internal"], env=environment, cwd=log.parent, stdout=told, stderr=told)
    try:
        _await(port, server, log)
        yield f"sc://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def _await(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-2000:]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.5)
    raise AssertionError(f"the server does not start: {log.read_text()[-2000:]}")
