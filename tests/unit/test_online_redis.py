"""What only a store in Redis can meet: a server that is down, slow, empty or full, a line that is cut, a right that is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from featurestore.errors import StoreError, StoreFormat, StoreLocked, StoreUnavailable, UsageError
from featurestore.online.redis import RedisStore, batch, lease, reader
from featurestore.online.store import Batch, Moved
from featurestore.testing.online import all_of, drop, put, put_meta, rows, seen
from tests.needs import ROOT
from tests.redis_server import Proxy, RedisServer

Patch = pytest.MonkeyPatch
ALONE: Any = {"cwd": ROOT, "env": {"PYTHONPATH": str(ROOT)}}
"""For a process of its own."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that may be stopped, filled up and restarted."""
    with RedisServer(tmp_path) as found:
        yield found


@pytest.fixture
def store(server: RedisServer, monkeypatch: Patch) -> Iterator[RedisStore]:
    monkeypatch.setattr(reader, "REST", 0.3)
    monkeypatch.setattr("featurestore.online.redis.store.PATIENCE", 1.0)
    found = RedisStore(server.url, "shop")
    yield found
    found.close()


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    found = Proxy(server)
    yield found
    found.close()


def get(store: RedisStore, key: bytes = b"000000") -> bytes | None:
    return seen(store, lambda snapshot: snapshot.get_many([("t", [key])])[0][0], recall=True)


def until(ask: Callable[[], object], wanted: object, seconds: float = 10) -> None:
    """Wait for an answer; what is unavailable may become available."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = ask()
        except StoreUnavailable as error:
            found = error
        if found == wanted:
            return
        assert time.monotonic() < end, found
        time.sleep(0.02)


def names(server: RedisServer, pattern: str = "*") -> set[bytes]:
    with server.client() as client:
        return set(client.keys(pattern))


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_recalled_read_is_one_command(server: RedisServer, proxy: Proxy) -> None:
    store = RedisStore(proxy.url, "shop")
    put(store, "a", rows(50))
    put(store, "b", rows(50))
    get(store)
    proxy.sent.clear()
    with store.recall() as snapshot:
        found = snapshot.get_many([("a", [b"000001"]), ("b", [b"000002", b"x"]), ("missing", [b"y"])])
    assert found == [[b"v"], [b"v", None], [None]]
    assert len(proxy.sent) == 1
    assert proxy.sent[0].startswith(b"*5\r\n$4\r\nMGET\r\n")


def test_a_snapshot_that_others_have_overtaken_says_so(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(3, b"old"))
    with store.recall() as snapshot:
        other = RedisStore(server.url, "shop")
        put(other, "t", rows(3, b"new"))
        for ask in (lambda: snapshot.get("t", [b"000000"]), lambda: snapshot.get_many([]), lambda: list(snapshot.scan("t"))):
            with pytest.raises(Moved):
                ask()
    assert get(store) == b"new"


def test_a_state_that_is_read_is_the_present_one(store: RedisStore, server: RedisServer) -> None:
    put_meta(store, "m", b"old")
    put_meta(RedisStore(server.url, "shop"), "m", b"new")
    with store.read() as snapshot:
        assert snapshot.meta("m") == b"new"


def test_a_row_that_somebody_has_deleted_is_damage_to_a_scan(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(5))
    with server.client() as client:
        client.delete(next(iter(names(server, "fs:shop:t:*"))))
    with pytest.raises(StoreError) as caught:
        all_of(store, "t")
    assert caught.value.code == "FS403"


def test_projects_and_strange_names_do_not_mix(server: RedisServer) -> None:
    projects = ["a", "a:t", "a*", "[a]", "Ä b", "epoch"]
    stores = {name: RedisStore(server.url, name) for name in projects}
    for name, store in stores.items():
        put(store, "t", [(b"k", name.encode())])
    drop(stores["a*"], "t")
    for name, store in stores.items():
        assert all_of(store, "t") == ([] if name == "a*" else [(b"k", name.encode())])


# --- down, slow, empty, full ------------------------------------------------------------------------------------------


def test_down_is_unavailable_and_it_connects_again_by_itself(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(3))
    server.stop()
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="FS412"):
            get(store)
    with pytest.raises(StoreUnavailable), store.read():
        pytest.fail("read")
    with pytest.raises(StoreUnavailable):
        put(store, "t", rows(1))
    server.start()
    put(store, "t", rows(3, b"back"))
    until(lambda: get(store), b"back")


def test_restarted_empty_is_unavailable_and_never_absent(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(3))
    assert get(store) == b"v"
    server.stop()
    server.start()
    answers = []
    for _ in range(5):
        with pytest.raises(StoreUnavailable) as caught:
            get(store)
        answers.append(str(caught.value))
        time.sleep(0.1)
    assert any("empty" in answer for answer in answers)
    with pytest.raises(StoreError) as absent:
        RedisStore(server.url, "shop", read_only=True)
    assert absent.value.code == "FS402"
    put(store, "t", rows(3, b"anew"))
    until(lambda: get(store), b"anew")


def test_a_kept_connection_that_the_server_closed_is_replaced_unnoticed(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(3))
    assert get(store) == b"v"
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert get(store) == b"v"


def test_slow_is_unavailable_within_the_deadline_and_does_not_add_up(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(3))
    get(store)
    server.pause()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable):
        get(store)
    first = time.monotonic() - start
    for _ in range(50):
        with pytest.raises(StoreUnavailable):
            get(store)
    later = time.monotonic() - start - first
    server.resume()
    assert 0.2 < first < 2
    assert later < 2  # after a failure Redis is left alone for a while
    until(lambda: get(store), b"v")


def test_what_was_not_answered_in_time_is_not_asked_again(store: RedisStore, server: RedisServer, proxy: Proxy) -> None:
    put(store, "t", rows(3))
    through = RedisStore(proxy.url, "shop")
    get(through)
    proxy.sent.clear()
    server.pause()
    with pytest.raises(StoreUnavailable):
        get(through)
    server.resume()
    assert len(proxy.sent) == 1


def test_a_reply_that_comes_late_is_never_taken_for_the_next_one(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", [(b"%06d" % i, b"%d" % i) for i in range(100)])
    get(store)
    server.pause()
    with pytest.raises(StoreUnavailable):
        get(store, b"000007")
    server.resume()
    until(lambda: get(store, b"000008"), b"8")
    assert [get(store, b"%06d" % i) for i in range(100)] == [b"%d" % i for i in range(100)]


def test_out_of_memory_changes_nothing(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(100, b"old"))
    put_meta(store, "m", b"old")
    with server.client() as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 2_000_000)

    def fill(batch: Batch) -> None:
        batch.put_meta("m", b"new")
        batch.put("t", rows(10, b"new"))
        batch.put("big", ((b"%06d" % i, bytes(10_000)) for i in range(1_000)))

    with pytest.raises(StoreError) as full:
        store.write(fill)
    assert (full.value.code, full.value.exit_code) == ("FS405", 5)
    with pytest.raises(StoreError) as early:
        store.write(fill, expected_bytes=10_000_000)
    assert early.value.code == "FS405"
    assert all_of(store, "t") == rows(100, b"old")
    assert seen(store, lambda snapshot: snapshot.metas()) == {"m": b"old"}
    assert len(names(server, "fs:shop:t:*")) == 100  # and what was sent ahead is gone
    with server.client() as client:
        client.config_set("maxmemory", 0)
    store.write(fill)
    assert get(store) == b"new"


def test_memory_that_runs_out_at_the_switch_changes_nothing(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(100, b"old"))

    def fill(batch: Batch) -> None:
        batch.put("t", rows(10, b"new"))
        with server.client() as client:
            client.config_set("maxmemory", 1)

    with pytest.raises(StoreError) as full:
        store.write(fill)
    assert full.value.code == "FS405"
    assert all_of(store, "t") == rows(100, b"old")
    assert RedisStore(server.url, "shop", read_only=True).sizes()["t"] > 0
    with pytest.raises(StoreError, match="out of memory"), store.lock():
        pytest.fail("a run begun that cannot write")


def test_a_server_that_may_evict_rows_is_refused(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(3))
    with server.client() as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    for use in (store.read, lambda: put(store, "t", rows(1)), lambda: RedisStore(server.url, "shop", read_only=True)):
        with pytest.raises(StoreUnavailable, match="allkeys-lru"):
            use()
    with server.client() as client:
        client.config_set("maxmemory-policy", "volatile-lru")
    until(lambda: get(store), b"v")


# --- writing ----------------------------------------------------------------------------------------------------------


def test_dropped_rows_are_removed_and_never_come_back(store: RedisStore, server: RedisServer, monkeypatch: Patch) -> None:
    put(store, "t", rows(2_500, b"old"))
    with monkeypatch.context() as patched:
        patched.setattr("featurestore.online.redis.store.sweep", lambda *_: None)
        drop(store, "t")
        put(store, "t", [(b"000001", b"new")])
    assert len(names(server, "fs:shop:t:*")) == 2_501
    assert all_of(store, "t") == [(b"000001", b"new")]
    assert get(store, b"000002") is None
    with store.lock():
        assert len(names(server, "fs:shop:t:*")) == 1
    assert names(server, "fs:shop:garbage") == set()


def test_counts_and_sizes_are_exact_through_every_kind_of_change(store: RedisStore) -> None:
    def check(batch: Batch) -> None:
        batch.put("t", [(b"b", b"12"), (b"a", b"1")])
        batch.put("t", [(b"b", b"123"), (b"c", b"")])
        batch.delete("t", [b"a", b"missing"])
        batch.put("t", iter(()))
        assert batch.count("t") == 2
        assert batch.get("t", [b"a", b"b", b"c"]) == [None, b"123", b""]

    store.write(check)
    prefix = len("fs:shop:t:12345678:")
    assert store.sizes() == {"t": 2 * prefix + 2 + 3, "total": 2 * prefix + 2 + 3}

    def change(batch: Batch) -> None:
        batch.put("t", [(b"b", b"1"), (b"d", b"1")])
        batch.put("t", [(b"d", b"12"), (b"e", b"1")])
        batch.delete("t", [b"e", b"c", b"missing"])
        assert batch.count("t") == 2

    store.write(change)
    assert all_of(store, "t") == [(b"b", b"1"), (b"d", b"12")]
    assert store.sizes()["t"] == 2 * prefix + 2 + 3


def test_a_write_that_paused_too_long_is_made_anew(store: RedisStore, server: RedisServer, monkeypatch: Patch) -> None:
    monkeypatch.setattr(batch, "STAGING_SECONDS", 1)
    calls = []

    def fill(changes: Batch) -> None:
        calls.append(1)
        changes.put("t", rows(2_000))
        if len(calls) == 1:
            time.sleep(1.2)
            with RedisStore(server.url, "shop").lock():  # sweeps what seems left over
                pass

    store.write(fill)
    assert len(calls) == 2
    assert all_of(store, "t") == rows(2_000)


@pytest.mark.parametrize("deliver", [False, True])
def test_a_line_cut_at_the_switch_leaves_no_doubt(store: RedisStore, proxy: Proxy, deliver: bool) -> None:
    put(store, "t", rows(3, b"old"))
    cut = RedisStore(proxy.url, "shop")
    proxy.cut_at(b"EXEC", deliver=deliver)
    if deliver:
        put(cut, "t", rows(3, b"new"))
    else:
        with pytest.raises(StoreUnavailable):
            put(cut, "t", rows(3, b"new"))
    assert get(store) == (b"new" if deliver else b"old")
    put(cut, "t", rows(3, b"last"))
    assert get(store) == b"last"


def test_a_line_cut_while_rows_are_sent_changes_nothing(store: RedisStore, proxy: Proxy, server: RedisServer) -> None:
    put(store, "t", rows(3, b"old"))
    cut = RedisStore(proxy.url, "shop")
    proxy.cut_at(b"004999", deliver=True)
    with pytest.raises(StoreUnavailable):
        put(cut, "new", rows(9_000))
    assert all_of(store, "t") == rows(3, b"old")
    assert all_of(store, "new") == []
    assert len(names(server, "fs:shop:t:*")) > 3  # left over, for the next holder of the lock once they have expired


def test_a_line_cut_at_the_switch_is_no_success_when_another_wrote(
    store: RedisStore, proxy: Proxy, server: RedisServer, monkeypatch: Patch
) -> None:
    cut, arrived = RedisStore(proxy.url, "shop"), RedisStore._arrived

    def after_another(self: RedisStore, changes: batch.Batch) -> bool:
        put(store, "t", rows(3, b"another"))
        return arrived(self, changes)

    monkeypatch.setattr(RedisStore, "_arrived", after_another)
    proxy.cut_at(b"EXEC", deliver=False)
    with pytest.raises(StoreUnavailable):
        put(cut, "t", rows(3, b"new"))
    assert get(store) == b"another"


def test_a_fill_that_overlooks_a_lost_connection_cannot_commit(store: RedisStore, proxy: Proxy) -> None:
    put(store, "t", rows(3, b"old"))
    cut = RedisStore(proxy.url, "shop")

    def fill(changes: Batch) -> None:
        proxy.cut_at(b"004999", deliver=True)
        with suppress(Exception):
            changes.put("new", rows(9_000))
        changes.put_meta("m", b"new")

    with pytest.raises(StoreUnavailable):
        cut.write(fill)
    assert seen(store, lambda snapshot: snapshot.metas()) == {}


def test_what_the_catalog_names_is_never_swept(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(3))
    with server.client() as client:
        client.sadd("fs:shop:garbage", store.read().state.tables["t"].tag)
    drop(store, "other")
    with store.lock():
        pass
    assert all_of(store, "t") == rows(3)


def test_two_writers_end_with_the_work_of_both(store: RedisStore, server: RedisServer) -> None:
    other, calls = RedisStore(server.url, "shop"), []

    def slow(changes: Batch) -> None:
        calls.append(changes.meta("other"))
        changes.put_meta("mine", b"1")
        if len(calls) == 1:
            put_meta(other, "other", b"1")

    store.write(slow)
    assert calls == [None, b"1"]
    assert seen(other, lambda snapshot: snapshot.metas()) == {"mine": b"1", "other": b"1"}


ADD = """
import sys
from featurestore.online.redis import RedisStore
store = RedisStore(sys.argv[1], "shop")
for _ in range(25):
    def add(batch):
        count = int(batch.meta("count") or 0) + 1
        batch.put_meta("count", b"%d" % count)
        batch.put("t", [(b"newest", b"%d" % count), (sys.argv[2].encode() + b"%d" % count, b"x")])
    store.write(add)
"""


def test_writers_in_many_processes_lose_nothing_and_the_newest_wins(store: RedisStore, server: RedisServer) -> None:
    command = [sys.executable, "-c", ADD, server.url]
    writers = [subprocess.Popen([*command, name], **ALONE) for name in "abcd"]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    assert seen(store, lambda snapshot: snapshot.meta("count")) == b"100"
    assert get(store, b"newest") == b"100"
    with store.read() as snapshot:
        assert snapshot.count("t") == 101


def test_a_write_that_others_always_overtake_gives_up(store: RedisStore, server: RedisServer, monkeypatch: Patch) -> None:
    monkeypatch.setattr("featurestore.online.redis.store.ATTEMPTS", 3)
    other = RedisStore(server.url, "shop")

    def fill(changes: Batch) -> None:
        changes.put("t", rows(5))
        put_meta(other, "other", b"%d" % time.monotonic_ns())

    with pytest.raises(StoreError) as caught:
        store.write(fill)
    assert caught.value.code == "FS406"
    assert names(server, "fs:shop:t:*") == set()


# --- the right to materialize -----------------------------------------------------------------------------------------


def test_a_holder_that_lost_its_right_is_fenced_off(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(3, b"old"))
    other = RedisStore(server.url, "shop")
    with store.lock():
        with server.client() as client:
            client.delete("fs:shop:lock")  # as if it had expired while this process was stopped
        with other.lock():
            with pytest.raises(StoreLocked) as caught:
                put(store, "t", rows(3, b"late"))
            put(other, "t", rows(3, b"new"))
    assert caught.value.code == "FS401"
    assert get(store) == b"new"
    with store.lock():
        put(store, "t", rows(3, b"again"))
    assert get(store) == b"again"


def test_a_right_that_passes_on_during_the_switch_stops_the_write(
    store: RedisStore, server: RedisServer, monkeypatch: Patch
) -> None:
    put(store, "t", rows(3, b"old"))
    commit = batch.Batch.commit

    def late(self: batch.Batch) -> object:
        with server.client() as client:
            client.set("fs:shop:lock", "x process 1 on another")
        return commit(self)

    monkeypatch.setattr("featurestore.online.redis.batch.Batch.commit", late)
    with store.lock(), pytest.raises(StoreLocked, match="process 1 on another"):
        put(store, "t", rows(3, b"late"))
    assert get(store) == b"old"
    assert names(server, "fs:shop:lock") == {b"fs:shop:lock"}  # what is another's is not released


def test_the_right_is_renewed_while_its_holder_lives(store: RedisStore, server: RedisServer, monkeypatch: Patch) -> None:
    monkeypatch.setattr(lease.Lease.__init__, "__defaults__", (2.0,))
    with store.lock():
        for _ in range(15):
            time.sleep(0.2)
            put(store, "t", rows(3))
        with pytest.raises(StoreLocked), RedisStore(server.url, "shop").lock():
            pytest.fail("taken twice")
    assert "lease" not in [thread.name for thread in threading.enumerate()]


def test_renewing_the_right_does_not_disturb_a_switch(store: RedisStore, monkeypatch: Patch) -> None:
    monkeypatch.setattr(lease.Lease.__init__, "__defaults__", (3.0,))
    commit, calls = batch.Batch.commit, []

    def slow(self: batch.Batch) -> object:
        calls.append(1)
        time.sleep(1.5)
        return commit(self)

    monkeypatch.setattr("featurestore.online.redis.batch.Batch.commit", slow)
    with store.lock():
        put(store, "t", rows(3))
    assert len(calls) == 1


def test_the_right_of_a_dead_holder_expires(store: RedisStore, server: RedisServer) -> None:
    with server.client() as client:
        client.set("fs:shop:lock", "x process 1 on another", px=300)
    with pytest.raises(StoreLocked, match="process 1 on another is materializing"), store.lock():
        pytest.fail("taken twice")
    time.sleep(0.4)
    with store.lock():
        pass


# --- opening ----------------------------------------------------------------------------------------------------------


def test_a_newer_format_is_refused(store: RedisStore, server: RedisServer) -> None:
    with server.client() as client:
        client.set("fs:shop:epoch", "2.1.x")
    for use in (lambda: RedisStore(server.url, "shop"), store.read, lambda: put(store, "t", rows(1))):
        with pytest.raises(StoreFormat, match="format 2"):
            use()


@pytest.mark.parametrize("url", ["", "http://127.0.0.1", "127.0.0.1:6379", "redis://127.0.0.1:port/0"])
def test_a_url_that_is_none_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="FS107"):
        RedisStore(url, "shop")


def test_a_wrong_password_is_said_and_never_shown(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("requirepass", "right")
    for secret in ("wr0ng", ""):
        given = f":{secret}@" if secret else ""
        with pytest.raises(StoreError) as caught:
            RedisStore(f"redis://{given}127.0.0.1:{server.port}/0", "shop")
        assert caught.value.code == "FS407"
        assert "wr0ng" not in str(caught.value)
    RedisStore(f"redis://:right@127.0.0.1:{server.port}/0", "shop").close()


def test_keys_of_another_kind_are_refused(server: RedisServer) -> None:
    with server.client() as client:
        client.set("fs:shop:metas", "text")
    with pytest.raises(StoreError) as caught:
        RedisStore(server.url, "shop", read_only=False)
    assert caught.value.code == "FS407"


def test_read_only_writes_nothing(store: RedisStore, server: RedisServer) -> None:
    put(store, "t", rows(3))
    other = RedisStore(server.url, "shop", read_only=True)
    assert get(other) == b"v"
    for use in (lambda: put(other, "t", rows(1)), lambda: other.lock().__enter__()):
        with pytest.raises(StoreError, match="read-only"):
            use()


def test_without_the_package_the_error_says_what_to_install() -> None:
    script = "import sys; sys.modules['redis'] = None\nimport featurestore.online.redis"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert "featurestore[redis]" in done.stderr
    assert "StoreError" in done.stderr


def test_a_forked_child_reads_on_connections_of_its_own(store: RedisStore, server: RedisServer) -> None:
    script = f"""
import os
from featurestore.online.redis import RedisStore
store = RedisStore({server.url!r}, "shop", read_only=True)
def value(key):
    with store.recall() as snapshot:
        return snapshot.get("t", [key])[0]
assert value(b"000001") == b"1"
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        ok = all(value(b"%06d" % (i % 50)) == b"%d" % (i % 50) for i in range(child, 2000, 4))
        os._exit(0 if ok else 1)
    children.append(pid)
assert all(value(b"%06d" % (i % 50)) == b"%d" % (i % 50) for i in range(2000))
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
"""
    put(store, "t", [(b"%06d" % i, b"%d" % i) for i in range(50)])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
