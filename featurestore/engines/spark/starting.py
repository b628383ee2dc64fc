"""Find the Spark that was asked for, or say in time and in plain words why there is none."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from featurestore.compiler.spark.scalars import SETTINGS
from featurestore.engines.spark.settings import SparkSettings
from featurestore.errors import StoreError
from featurestore.sources.extras import missing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

T = TypeVar("T")
APP = "featurestore"
CONNECT_PORT, MASTER_PORT = 15002, 7077
RUNTIME: Mapping[str, str] = {
    **SETTINGS,
    # What is not foreseen fails; without it a cast gives NULL and a sum wraps.
    "spark.sql.ansi.enabled": "true",
    # Statistics of Parquet tell nothing of NaN: a filter on them would lose rows.
    "spark.sql.parquet.filterPushdown": "false",
    # Its reader of batches looks values inside lists up in dictionaries that are not theirs.
    "spark.sql.parquet.enableNestedColumnVectorizedReader": "false",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
    "spark.sql.parquet.writeLegacyFormat": "false",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
    # Java runs a method of more bytes as it is written, never compiled, fifty times as slow: beyond that Spark shall cut what
    # it generates into small ones. The last step of windows is such.
    "spark.sql.codegen.hugeMethodLimit": "8000",
}
"""What values depend on: set in every session, whatever its configuration says."""
LOCAL: Mapping[str, str] = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.catalogImplementation": "in-memory",
}
"""How a session on this machine alone starts, unless its configuration says otherwise."""


def start(settings: SparkSettings) -> SparkSession:
    """A session of its own: its views and settings are nobody else's.

    Raises: StoreError FS480 (pyspark missing), FS462 (no Java), FS463 (master or server not reached, or refused).
    """
    if find_spec("pyspark") is None:
        raise missing("pyspark", "featurestore[spark]", "the engine Spark")
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):  # what fails is raised, and told in our words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    session = _connect(settings) if settings.remote is not None else _classic(settings)
    for name, value in RUNTIME.items():
        session.conf.set(name, value)
    return session


def _connect(settings: SparkSettings) -> SparkSession:
    assert settings.remote is not None
    match = re.fullmatch(r"sc://(\[[^\]]+\]|[^/:;]+)(?::(\d+))?(/.*)?", settings.remote)
    if match is None:
        raise StoreError("FS463", f"{shown(settings.remote)!r} is no address of a Spark Connect server", hint="sc://host:15002")
    _reach(match[1].strip("[]"), int(match[2] or CONNECT_PORT), shown(settings.remote), settings.timeout)
    try:
        _await_words(settings)
        return _within(settings.timeout, lambda: _connected(settings))
    except ImportError as error:
        raise missing(error.name or "pyspark.sql.connect", "featurestore[spark]", "Spark Connect") from error
    except Exception as error:
        raise StoreError(
            "FS463", f"the Spark Connect server at {shown(settings.remote)} does not answer: {_first_line(error)}",
            hint="a server of the same Spark version, and [spark] remote in featurestore.toml",
        ) from error  # fmt: skip


def _connected(settings: SparkSettings) -> SparkSession:
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    session: SparkSession = ConnectSession.builder.remote(settings.remote).create()
    for name, value in settings.conf.items():
        if session.conf.isModifiable(name):  # others are the server's own, set where it was started
            session.conf.set(name, value)
    session.conf.get("spark.sql.session.timeZone")  # the first word from the server
    return session


def _await_words(settings: SparkSettings) -> None:
    """A server that takes connections may still say nothing; a client made for one would try to take its leave of it at the end
    of this process, for minutes. Raises: TimeoutError."""
    import grpc
    from pyspark.sql.connect.client import DefaultChannelBuilder

    channel = DefaultChannelBuilder(str(settings.remote)).toChannel()
    try:
        grpc.channel_ready_future(channel).result(timeout=settings.timeout)
    except grpc.FutureTimeoutError:
        raise TimeoutError(f"no answer within {settings.timeout:g} s") from None
    finally:
        channel.close()


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What a call gives, if it does in time: clients try again for minutes, and cannot be told to give up.

    Raises: what the call raises; TimeoutError.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return done[0]


def _classic(settings: SparkSettings) -> SparkSession:
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    if running is not None and not hasattr(running, "_jsparkSession"):
        raise StoreError(
            "FS463", "this process already talks to a Spark Connect server", hint="[spark] remote, or a new process"
        )
    if running is not None:
        return running.newSession()
    _check_java()
    if cluster := re.fullmatch(r"spark://([^/:,]+):?(\d*)", settings.master):
        _reach(cluster[1], int(cluster[2] or MASTER_PORT), settings.master, settings.timeout)
    local = settings.master.startswith("local")
    if local:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else whatever is called python3
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    chosen = {**(LOCAL if local else {}), **settings.conf}
    builder = SparkSession.builder.master(settings.master).appName(APP)
    for name, value in chosen.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate().newSession()
    except Exception as error:
        raise StoreError(
            "FS463", f"Spark does not start on {settings.master!r}: {_first_line(error)}",
            hint="[spark] master and conf in featurestore.toml",
        ) from error  # fmt: skip


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and (home is None or shutil.which("java", path=os.path.join(home, "bin")) is None):
        raise StoreError(
            "FS462", "Spark needs Java 17, and there is no `java`", hint="a Java runtime, or JAVA_HOME; or [spark] remote"
        )


def _reach(host: str, port: int, name: str, timeout: float) -> None:
    """Clients try for minutes to reach a server that is not there: ask once, and say so."""
    try:
        with socket.create_connection((host, port), timeout):
            return
    except OSError as error:
        reason = error.strerror or str(error)
    raise StoreError("FS463", f"no Spark answers at {name}: {reason}", hint="start it, or [spark] in featurestore.toml")


def shown(url: str) -> str:
    """An address without what follows it: parameters may hold a token."""
    return url.split("/;")[0].split(";")[0]


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def end(session: SparkSession) -> None:
    """Let go of a session: a Connect session is ended on the server; a classic one shares its context with those to come."""
    if not hasattr(session, "_jsparkSession"):
        with suppress(Exception):
            session.stop()
