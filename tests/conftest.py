"""What every test can count on: one time zone, one environment, the same random choices on any machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests import needs
from tests.dear import DEAR

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer
    from tests.redis_server import RedisServer
    from tests.s3_server import Bucket, S3Server

pytest.register_assert_rewrite("tests.spec.loader")  # a failing case shows which cells differ

# An unlikely zone (+12:45, with summer time): code that leans on the machine's own zone fails here, not at a user's.
os.environ["TZ"] = "Pacific/Chatham"
time.tzset()

# A developer's own settings must not reach the tests; these are about the tests themselves.
_OF_TESTS = {
    "FEATURESTORE_AIRFLOW",
    "FEATURESTORE_DAGSTER",
    "FEATURESTORE_DATA",
    "FEATURESTORE_FUZZ_CASES",
    "FEATURESTORE_REQUIRE",
    "FEATURESTORE_THOROUGH",
}
for _name in [name for name in os.environ if name.startswith("FEATURESTORE_")]:
    if _name not in _OF_TESTS:
        del os.environ[_name]
os.environ["FEATURESTORE_ONLINE__NICE"] = "0"  # commands run within the tests' own process, which would stay nice

# The same cases on every run; `make fuzz` alone looks for new ones. No deadline: a busy machine is not a failure.
hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("fuzz", deadline=None, print_blob=True)
hypothesis.settings.load_profile("fuzz" if "FEATURESTORE_FUZZ_CASES" in os.environ else "same")


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.nodeid.removeprefix("tests/").startswith(DEAR):
        item.add_marker(pytest.mark.slow)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files, compare nothing")


@pytest.fixture(scope="session")
def require() -> Callable[[str], str]:
    """`require("redis-server")` is its path; without it the test skips, or fails if FEATURESTORE_REQUIRE lists it."""
    return needs.require_program


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A redis-server for tests that leave it running; each takes a project name of its own."""
    from tests.redis_server import RedisServer

    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL for tests that leave it running; each takes tables of its own names."""
    from tests.postgres_server import PostgresServer

    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 that all tests share."""
    from tests.s3_server import S3Server

    with S3Server() as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, with its keys and endpoint in the environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server.bucket()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; without it the test skips, or fails if FEATURESTORE_REQUIRE lists "data"."""
    return needs.real_data()


@pytest.fixture(scope="session")
def update_golden(pytestconfig: pytest.Config) -> bool:
    """Whether golden files are to be written rather than compared."""
    return bool(pytestconfig.getoption("--update-golden"))


@pytest.fixture(scope="session")
def fuzz_cases() -> int:
    """How many cases a property test compares: 3,000 in `make test`, FEATURESTORE_FUZZ_CASES in `make fuzz`."""
    return int(os.environ.get("FEATURESTORE_FUZZ_CASES", "3000"))
