"""Every online store keeps the same contract."""

from pathlib import Path

from featurestore.online.lmdb import LmdbStore
from featurestore.online.memory import MemoryStore
from featurestore.testing.online import OnlineStoreContract


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
