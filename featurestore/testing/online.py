"""The contract of an online store, as tests. A store of your own inherits them all:

    class TestMyStore(OnlineStoreContract):
        def make_store(self, tmp_path):
            return MyStore(tmp_path / "online")

`make_store` is called once a test and gives an empty, writable store. A store that cannot keep old states says
`isolated = False`: its snapshots may raise `Moved`, and only then. What only one store can do (a file that is cut, a
process that is killed) is tested beside that store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest

from featurestore.errors import StoreError, StoreLocked
from featurestore.online.codec import storage_key
from featurestore.online.store import FORMAT, MAX_KEY, TOTAL, Batch, Moved, OnlineStore, Snapshot

Rows = list[tuple[bytes, bytes]]
T = TypeVar("T")


def rows(count: int, value: bytes = b"v") -> Rows:
    """`count` rows in order of their keys."""
    return [(b"%06d" % number, value) for number in range(count)]


def put(store: OnlineStore, table: str, items: Rows) -> None:
    store.write(lambda batch: batch.put(table, items))


def put_meta(store: OnlineStore, name: str, value: bytes) -> None:
    store.write(lambda batch: batch.put_meta(name, value))


def drop(store: OnlineStore, table: str) -> None:
    store.write(lambda batch: batch.drop(table))


def replace(store: OnlineStore, old: str, new: str, items: Rows) -> None:
    """One generation takes the place of another, in one write."""

    def fill(batch: Batch) -> None:
        batch.put(new, items)
        batch.drop(old)

    store.write(fill)


def seen(store: OnlineStore, ask: Callable[[Snapshot], T], *, recall: bool = False) -> T:
    """What `ask` finds in one state, whatever is written meanwhile: a snapshot that has moved is replaced by another."""
    while True:
        with store.recall() if recall else store.read() as snapshot, suppress(Moved):
            return ask(snapshot)


def all_of(store: OnlineStore, table: str) -> Rows:
    return seen(store, lambda snapshot: list(snapshot.scan(table)))


class OnlineStoreContract:
    """Inherit, give `make_store`, run with pytest."""

    isolated: ClassVar[bool] = True

    def make_store(self, tmp_path: Path) -> OnlineStore:
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[OnlineStore]:
        store = self.make_store(tmp_path)
        yield store
        store.close()

    # Round trips

    def test_a_new_store_is_empty_and_of_the_current_format(self, store: OnlineStore) -> None:
        with store.read() as snapshot:
            assert snapshot.metas() == {}
            assert snapshot.meta("manifest") is None
            assert snapshot.get("t", [b"k"]) == [None]
        assert store.format == FORMAT

    def test_what_was_put_is_got_in_the_order_asked(self, store: OnlineStore) -> None:
        put(store, "t", [(b"a", b"1"), (b"b", b""), (b"c", b"\x00\xff" * 10_000)])
        with store.read() as snapshot:
            found = snapshot.get("t", [b"c", b"missing", b"a", b"b", b"a"])
        assert found == [b"\x00\xff" * 10_000, None, b"1", b"", b"1"]

    def test_get_of_no_keys_is_empty(self, store: OnlineStore) -> None:
        put(store, "t", rows(1))
        with store.read() as snapshot:
            assert snapshot.get("t", []) == []

    def test_many_tables_are_read_in_one_go(self, store: OnlineStore) -> None:
        put(store, "a", [(b"x", b"1"), (b"y", b"2")])
        put(store, "b", [(b"x", b"3")])
        with store.read() as snapshot:
            found = snapshot.get_many([("b", [b"x"]), ("missing", [b"x", b"y"]), ("a", []), ("a", [b"y", b"no", b"x", b"y"])])
            assert found == [[b"3"], [None, None], [], [b"2", None, b"1", b"2"]]
            assert snapshot.get_many([]) == []

    def test_a_missing_table_reads_as_an_empty_one(self, store: OnlineStore) -> None:
        with store.read() as snapshot:
            assert snapshot.get("missing", [b"a", b"b"]) == [None, None]
            assert list(snapshot.scan("missing")) == []
            assert snapshot.count("missing") == 0

    def test_scan_is_in_order_of_the_keys_bytes(self, store: OnlineStore) -> None:
        keys = [b"b", b"\xff", b"", b"a\x00", b"a", b"\x00", b"ab"]
        put(store, "t", [(b"k" + key, key) for key in keys])
        assert all_of(store, "t") == [(b"k" + key, key) for key in sorted(keys)]

    def test_a_scan_goes_on_after_any_key_whether_it_is_there_or_not(self, store: OnlineStore) -> None:
        put(store, "t", [(b"b", b"1"), (b"d", b"2"), (b"f", b"3")])
        expected = {b"a": b"bdf", b"b": b"df", b"c": b"df", b"d": b"f", b"f": b"", b"g": b""}
        with store.read() as snapshot:
            found = {after: b"".join(key for key, _ in snapshot.scan("t", after)) for after in expected}
            assert list(snapshot.scan("missing", b"a")) == []
        assert found == expected

    def test_a_batch_scans_what_was_there_and_what_it_wrote(self, store: OnlineStore) -> None:
        put(store, "t", [(b"a", b"1"), (b"b", b"1")])

        def fill(batch: Batch) -> None:
            batch.put("t", [(b"c", b"2")])
            batch.put("copy", list(batch.scan("t", b"a")))

        store.write(fill)
        assert all_of(store, "copy") == [(b"b", b"1"), (b"c", b"2")]

    def test_unsorted_input_with_repeated_keys_keeps_the_last_value(self, store: OnlineStore) -> None:
        put(store, "t", [(b"b", b"1"), (b"a", b"1"), (b"b", b"2"), (b"a", b"2"), (b"a", b"3")])
        assert all_of(store, "t") == [(b"a", b"3"), (b"b", b"2")]

    def test_sorted_input_with_repeated_keys_keeps_the_last_value(self, store: OnlineStore) -> None:
        put(store, "t", [(b"a", b"1"), (b"a", b"2"), (b"b", b"3")])
        assert all_of(store, "t") == [(b"a", b"2"), (b"b", b"3")]

    def test_a_stream_of_many_rows_arrives_whole(self, store: OnlineStore) -> None:
        many = rows(50_000)
        store.write(lambda batch: batch.put("sorted", iter(many)), expected_bytes=50_000 * 7)
        store.write(lambda batch: batch.put("reversed", reversed(many)))
        assert all_of(store, "sorted") == many
        assert all_of(store, "reversed") == many
        with store.read() as snapshot:
            assert snapshot.count("sorted") == 50_000

    def test_a_second_put_replaces_and_adds(self, store: OnlineStore) -> None:
        put(store, "t", rows(100, b"old"))
        put(store, "t", [(b"000007", b"new"), (b"zzz", b"added")])
        with store.read() as snapshot:
            assert snapshot.get("t", [b"000006", b"000007", b"zzz"]) == [b"old", b"new", b"added"]
            assert snapshot.count("t") == 101

    def test_tables_do_not_mix(self, store: OnlineStore) -> None:
        names = ["a", "a@1", "a@10", "A", "ä", "t/1", "m", "f"]
        for name in names:
            put(store, name, [(b"k", name.encode())])
        with store.read() as snapshot:
            assert [snapshot.get(name, [b"k"])[0] for name in names] == [name.encode() for name in names]

    # Metas

    def test_metas_come_back_by_prefix_and_in_order(self, store: OnlineStore) -> None:
        names = ["view/b", "view/a", "views", "größe/☃", "view/", "other"]
        for name in names:
            put_meta(store, name, name.encode())
        with store.read() as snapshot:
            assert list(snapshot.metas("view/")) == ["view/", "view/a", "view/b"]
            assert list(snapshot.metas()) == sorted(names, key=str.encode)
            assert snapshot.meta("größe/☃") == "größe/☃".encode()
            assert snapshot.metas("missing") == {}

    def test_a_meta_is_replaced_and_deleted(self, store: OnlineStore) -> None:
        put_meta(store, "a", b"1")
        put_meta(store, "a", b"")
        with store.read() as snapshot:
            assert snapshot.meta("a") == b""
        store.write(lambda batch: batch.delete_meta("a"))
        store.write(lambda batch: batch.delete_meta("a"))
        with store.read() as snapshot:
            assert snapshot.meta("a") is None

    def test_metas_and_tables_of_one_name_do_not_mix(self, store: OnlineStore) -> None:
        def fill(batch: Batch) -> None:
            batch.put_meta("x", b"meta")
            batch.put("x", [(b"x", b"row")])

        store.write(fill)
        store.write(lambda batch: batch.drop("x"))
        with store.read() as snapshot:
            assert snapshot.meta("x") == b"meta"

    # Deleting

    def test_delete_forgets_keys_and_ignores_missing_ones(self, store: OnlineStore) -> None:
        put(store, "t", rows(4))
        store.write(lambda batch: batch.delete("t", [b"000001", b"missing", b"000003", b"000003"]))
        store.write(lambda batch: batch.delete("missing", [b"a"]))
        assert [key for key, _ in all_of(store, "t")] == [b"000000", b"000002"]

    def test_a_dropped_table_is_gone_and_its_name_free(self, store: OnlineStore) -> None:
        put(store, "t", rows(1_000, b"old"))
        put(store, "other", rows(10))
        drop(store, "t")
        drop(store, "missing")
        assert all_of(store, "t") == []
        assert "t" not in store.sizes()
        put(store, "t", [(b"a", b"new")])
        assert all_of(store, "t") == [(b"a", b"new")]
        assert all_of(store, "other") == rows(10)

    def test_a_table_is_dropped_and_filled_anew_in_one_write(self, store: OnlineStore) -> None:
        put(store, "t", rows(1_000, b"old"))

        def refill(batch: Batch) -> None:
            batch.drop("t")
            assert batch.get("t", [b"000000"]) == [None]
            batch.put("new", [(b"n", b"n")])
            batch.put("t", [(b"a", b"new")])

        store.write(refill)
        assert all_of(store, "t") == [(b"a", b"new")]
        assert all_of(store, "new") == [(b"n", b"n")]

    def test_hundreds_of_generations_leave_one(self, store: OnlineStore) -> None:
        for number in range(1, 600):
            replace(store, f"v@{number - 1}", f"v@{number}", rows(1))
        assert set(store.sizes()) == {"v@599", TOTAL}

    # All or nothing

    def test_an_exception_in_fill_changes_nothing(self, store: OnlineStore) -> None:
        put(store, "t", rows(3))
        put_meta(store, "w", b"1")

        def fail(batch: Batch) -> None:
            batch.put_meta("w", b"2")
            batch.put("t", rows(50_000, b"new"))
            batch.put("new", rows(1))
            batch.drop("t")
            raise KeyError("stop")

        with pytest.raises(KeyError, match="stop"):
            store.write(fail)
        assert all_of(store, "t") == rows(3)
        assert all_of(store, "new") == []
        with store.read() as snapshot:
            assert snapshot.metas() == {"w": b"1"}
        put(store, "new", rows(1))
        assert all_of(store, "new") == rows(1)

    def test_a_failing_stream_changes_nothing(self, store: OnlineStore) -> None:
        def stream() -> Iterator[tuple[bytes, bytes]]:
            yield from rows(20_000)
            raise OSError("source gone")

        with pytest.raises(OSError, match="source gone"):
            store.write(lambda batch: batch.put("t", stream()))
        assert all_of(store, "t") == []

    def test_a_batch_reads_its_own_writes(self, store: OnlineStore) -> None:
        put(store, "t", rows(2, b"old"))
        seen: list[object] = []

        def fill(batch: Batch) -> None:
            seen.clear()
            batch.put("t", [(b"000001", b"new")])
            batch.delete("t", [b"000000"])
            batch.put_meta("a/1", b"x")
            batch.delete_meta("a/0")
            seen.extend([batch.get("t", [b"000000", b"000001"]), batch.meta("a/1"), batch.metas("a/")])

        put_meta(store, "a/0", b"y")
        store.write(fill)
        assert seen == [[None, b"new"], b"x", {"a/1": b"x"}]

    def test_a_repeated_fill_ends_in_the_same_store(self, store: OnlineStore) -> None:
        def fill(batch: Batch) -> None:
            batch.put("t", rows(100))
            batch.delete("t", [b"000005"])
            batch.put_meta("w", b"1")

        store.write(fill)
        once = all_of(store, "t")
        store.write(fill)
        assert all_of(store, "t") == once

    def test_a_write_within_a_write_is_an_error(self, store: OnlineStore) -> None:
        with pytest.raises(RuntimeError):
            store.write(lambda batch: put(store, "t", rows(1)))
        put(store, "t", rows(1))
        assert all_of(store, "t") == rows(1)

    # Snapshots

    def test_a_snapshot_stays_as_it_was(self, store: OnlineStore) -> None:
        put(store, "t", rows(1_000, b"old"))
        put(store, "dropped", rows(5))
        put_meta(store, "m", b"old")
        with store.read() as before:
            put(store, "t", rows(2_000, b"new"))
            replace(store, "dropped", "reused", rows(9))
            put_meta(store, "m", b"new")
            assert before.meta("m") == b"old"
            assert before.count("t") == 1_000
            assert before.count("reused") == 0
            self.answers_as_of_then(lambda: list(before.scan("t")), rows(1_000, b"old"))
            self.answers_as_of_then(lambda: list(before.scan("dropped")), rows(5))
            with store.read() as after:
                assert after.count("t") == 2_000
                assert after.get("dropped", [b"000000"]) == [None]
            self.answers_as_of_then(lambda: before.get("t", [b"000000"]), [b"old"])
            self.answers_as_of_then(lambda: before.get_many([("dropped", [b"000000"])]), [[b"v"]])

    def answers_as_of_then(self, ask: Callable[[], object], answer: object) -> None:
        """An isolated snapshot gives the old answer. An optimistic one may say instead that there is no old answer any more."""
        try:
            assert ask() == answer
        except Moved:
            assert not self.isolated

    def test_a_state_recalled_is_the_present_one_or_says_that_it_is_not(self, store: OnlineStore) -> None:
        def generation(number: int) -> None:
            def fill(batch: Batch) -> None:
                batch.put_meta("now", b"%d" % number)
                batch.put(f"t@{number}", rows(3, b"%d" % number))
                batch.drop(f"t@{number - 1}")

            store.write(fill)

        def current(snapshot: Snapshot) -> tuple[bytes | None, list[bytes | None]]:
            now = snapshot.meta("now") or b""
            return now, snapshot.get_many([(f"t@{now.decode()}", [b"000001"])])[0]

        for number in range(5):
            generation(number)
            for _ in range(2):
                assert seen(store, current, recall=True) == (b"%d" % number, [b"%d" % number])

    def test_readers_do_not_wait_for_a_writer_and_see_nothing_of_it(self, store: OnlineStore) -> None:
        put(store, "t", rows(10, b"old"))
        inside, finish = threading.Event(), threading.Event()

        def slow(batch: Batch) -> None:
            batch.put("t", rows(10, b"new"))
            inside.set()
            assert finish.wait(10)

        writer = threading.Thread(target=store.write, args=(slow,))
        writer.start()
        try:
            assert inside.wait(10)
            assert all_of(store, "t") == rows(10, b"old")
        finally:
            finish.set()
            writer.join()
        assert all_of(store, "t") == rows(10, b"new")

    def test_concurrent_readers_never_see_a_torn_state(self, store: OnlineStore) -> None:
        def generation(number: int) -> None:
            def fill(batch: Batch) -> None:
                batch.put(f"t@{number}", rows(200, b"%d" % number))
                batch.drop(f"t@{number - 1}")
                batch.put_meta("now", b"%d" % number)

            store.write(fill)

        def generation_seen(snapshot: Snapshot) -> tuple[bytes, list[bytes | None]]:
            now = snapshot.meta("now") or b""
            return now, snapshot.get(f"t@{now.decode()}", [key for key, _ in rows(200)])

        generation(0)
        torn: list[object] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                now, found = seen(store, generation_seen, recall=True)
                if set(found) != {now}:
                    torn.append((now, set(found)))

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for number in range(1, 60):
            generation(number)
        done.set()
        for reader in readers:
            reader.join()
        assert torn == []

    def test_a_failing_write_ends_though_readers_never_pause(self, store: OnlineStore) -> None:
        put(store, "t", rows(200))
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                all_of(store, "t")

        def fail(batch: Batch) -> None:
            batch.put("t", rows(400, b"new"))
            raise KeyError

        def write() -> None:
            for _ in range(10):
                with pytest.raises(KeyError):
                    store.write(fail)

        threads = [threading.Thread(target=read, daemon=True) for _ in range(3)]
        writer = threading.Thread(target=write, daemon=True)
        for thread in [*threads, writer]:
            thread.start()
        writer.join(timeout=20)
        finished = not writer.is_alive()
        done.set()
        for thread in threads:
            thread.join()
        assert finished
        assert all_of(store, "t") == rows(200)

    def test_writes_from_many_threads_are_all_kept(self, store: OnlineStore) -> None:
        def add(name: int) -> None:
            for _ in range(20):
                store.write(lambda batch: batch.put_meta(f"{name}", b"%d" % (int(batch.meta(f"{name}") or 0) + 1)))

        threads = [threading.Thread(target=add, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with store.read() as snapshot:
            assert snapshot.metas() == {str(name): b"20" for name in range(4)}

    # Bounds

    def test_long_keys_are_kept_through_storage_key(self, store: OnlineStore) -> None:
        longest = b"k" * MAX_KEY
        long = [storage_key(b"x" * 5_000 + bytes([end])) for end in range(5)]
        put(store, "t", [(longest, b"longest"), *((key, key) for key in long)])
        with store.read() as snapshot:
            assert snapshot.get("t", [longest, *long]) == [b"longest", *long]

    @pytest.mark.parametrize("key", [b"", b"k" * (MAX_KEY + 1)])
    def test_a_key_out_of_bounds_is_refused_and_nothing_changes(self, store: OnlineStore, key: bytes) -> None:
        with pytest.raises(StoreError):
            put(store, "t", [(b"a", b"a"), (key, b"b")])
        assert all_of(store, "t") == []

    @pytest.mark.parametrize("name", ["", "n" * 481, TOTAL])
    def test_a_name_out_of_bounds_is_refused(self, store: OnlineStore, name: str) -> None:
        with pytest.raises(StoreError):
            put(store, name, rows(1))
        with pytest.raises(StoreError):
            store.write(lambda batch: batch.put_meta(name, b""))

    # Lock, sizes, close

    def test_only_one_materializer_holds_the_lock(self, store: OnlineStore) -> None:
        with store.lock():
            with pytest.raises(StoreLocked, match="process"), store.lock():
                pytest.fail("taken twice")
            put(store, "t", rows(1))
            assert all_of(store, "t") == rows(1)
        with store.lock():
            pass

    def test_the_lock_is_given_up_when_its_holder_fails(self, store: OnlineStore) -> None:
        with pytest.raises(KeyError), store.lock():
            raise KeyError
        with store.lock():
            pass

    def test_sizes_name_every_table_and_the_total(self, store: OnlineStore) -> None:
        put(store, "b", rows(1_000, b"v" * 100))
        put(store, "a", rows(1))
        sizes = store.sizes()
        assert set(sizes) == {"a", "b", TOTAL}
        assert sizes["b"] > 100_000 > sizes["a"] > 0
        assert sizes[TOTAL] >= sizes["a"] + sizes["b"]

    def test_a_closed_store_says_so(self, store: OnlineStore) -> None:
        store.close()
        store.close()
        with pytest.raises(StoreError), store.read():
            pytest.fail("read a closed store")
        with pytest.raises(StoreError):
            put(store, "t", rows(1))
