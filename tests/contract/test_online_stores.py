"""Every online store keeps the same contract."""

from pathlib import Path

import pytest

from featurestore.online.lmdb import LmdbStore
from featurestore.online.memory import MemoryStore
from featurestore.online.redis import RedisStore
from featurestore.testing.online import OnlineStoreContract
from tests.redis_server import RedisServer


class TestMemoryStore(OnlineStoreContract):
    def make_store(self, tmp_path: Path) -> MemoryStore:
        return MemoryStore()


class TestLmdbStore(OnlineStoreContract):
    def make_store(self, tmp_path: Path) -> LmdbStore:
        return LmdbStore(tmp_path / "online")


class TestLmdbStoreThatMustGrow(OnlineStoreContract):
    """A tiny map: every larger write runs `fill` several times."""

    # Growing waits for snapshots of the same process: tests/unit/test_online_lmdb.py.
    test_a_snapshot_stays_as_it_was = None

    def make_store(self, tmp_path: Path) -> LmdbStore:
        return LmdbStore(tmp_path / "online", map_size=1 << 17)


class TestRedisStore(OnlineStoreContract):
    isolated = False
    server: RedisServer

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: RedisServer) -> None:
        """Emptied each time: to drop a table is to look at all keys of the database."""
        self.server = redis_server
        with redis_server.client() as client:
            client.flushdb()

    def make_store(self, tmp_path: Path) -> RedisStore:
        return RedisStore(self.server.url, tmp_path.name)
