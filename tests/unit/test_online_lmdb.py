"""What only LMDB can get wrong: maps that grow, files that are cut, processes beside this one."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import lmdb
import pytest

from featurestore.errors import StoreError, StoreFormat, StoreLocked
from featurestore.online.lmdb import LmdbStore, environment
from featurestore.online.store import FORMAT

ROOT = Path(__file__).parents[2]
TINY = 1 << 17

HEAD = """
import os, sys
from pathlib import Path
from featurestore.errors import StoreError
from featurestore.online.lmdb import LmdbStore
path = Path(sys.argv[1])
"""


class Process:
    """A second process, run line by line: it answers each line it is sent with one line."""

    def __init__(self, path, script):
        command = [sys.executable, "-c", HEAD + textwrap.dedent(script), str(path)]
        self.running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1)

    def ask(self, line=""):
        print(line, file=self.running.stdin)
        return self.running.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.running.kill()
        self.running.communicate()


def run(path, script):
    """Run a script to its end in a second process. Returns: what it printed."""
    command = [sys.executable, "-c", HEAD + textwrap.dedent(script), str(path)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60).stdout.strip()


READER = """
store = LmdbStore(path, read_only=True, map_size=1 << 17)
for line in sys.stdin:
    with store.read() as snapshot:
        print(*[value and value[:8] for value in snapshot.get(line.split()[0], [b"000000"])], snapshot.count(line.split()[0]))
        sys.stdout.flush()
"""


def rows(count, value=b"v"):
    return [(b"%06d" % number, value) for number in range(count)]


def put(store, table, items):
    store.write(lambda batch: batch.put(table, items))


def got(store, table="t"):
    with store.read() as snapshot:
        return list(snapshot.scan(table))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "online"


@pytest.fixture
def store(path):
    store = LmdbStore(path)
    yield store
    store.close()


# --- the map ----------------------------------------------------------------------------------------------------------


def test_a_full_map_grows_and_the_write_starts_again(path):
    store, calls = LmdbStore(path, map_size=TINY), []

    def fill(batch):
        calls.append(batch.count("t"))
        batch.put("t", rows(20_000, b"v" * 50))

    store.write(fill)
    assert got(store) == rows(20_000, b"v" * 50)
    assert len(calls) > 1
    assert set(calls) == {0}
    store.close()


def test_expected_bytes_make_room_at_once(path):
    store, calls = LmdbStore(path, map_size=TINY), []
    store.write(lambda batch: (calls.append(1), batch.put("t", rows(20_000, b"v" * 50))), expected_bytes=20_000 * 56)
    assert calls == [1]
    store.close()


def test_a_map_that_cannot_grow_under_an_open_snapshot_is_an_error_not_a_hang(path, monkeypatch):
    monkeypatch.setattr(environment, "_PATIENCE", 0.05)
    store = LmdbStore(path, map_size=TINY)
    put(store, "t", rows(1))
    with store.read() as snapshot:
        with pytest.raises(StoreError, match="FS406"):
            put(store, "t", rows(20_000, b"v" * 50))
        assert list(snapshot.scan("t")) == rows(1)
    assert got(store) == rows(1)
    put(store, "t", rows(20_000, b"v" * 50))
    assert len(got(store)) == 20_000
    store.close()


def test_a_map_another_process_grew_is_followed(path):
    store = LmdbStore(path, map_size=TINY)
    put(store, "t", rows(1))
    assert got(store) == rows(1)
    run(path, 'LmdbStore(path).write(lambda b: b.put("t", ((b"%06d" % i, b"w" * 99) for i in range(20_000))))')
    assert got(store) == rows(20_000, b"w" * 99)
    run(path, 'LmdbStore(path).write(lambda b: b.put("u", ((b"%06d" % i, b"w" * 99) for i in range(50_000))))')
    put(store, "t", [(b"000000", b"mine")])
    assert got(store)[0] == (b"000000", b"mine")
    assert len(got(store, "u")) == 50_000
    store.close()


# --- processes --------------------------------------------------------------------------------------------------------


def test_a_long_lived_reader_finds_tables_made_dropped_and_made_again(path, store):
    put(store, "a", rows(3, b"first"))
    with Process(path, READER) as reader:
        assert reader.ask("a") == "b'first' 3"
        assert reader.ask("b") == "None 0"
        put(store, "b", rows(5, b"second"))
        assert reader.ask("b") == "b'second' 5"
        store.write(lambda batch: batch.drop("a"))
        assert reader.ask("a") == "None 0"
        put(store, "c", rows(7, b"third"))  # in the slot that was a's
        assert [reader.ask(name) for name in "abc"] == ["None 0", "b'second' 5", "b'third' 7"]
        put(store, "a", rows(9, b"fourth"))
        assert [reader.ask(name) for name in "abc"] == ["b'fourth' 9", "b'second' 5", "b'third' 7"]
        put(store, "big", rows(30_000, b"x" * 99))
        assert reader.ask("big") == f"{b'x' * 8} 30000"


def test_more_generations_than_there_are_slots_do_not_wear_a_reader_out(path, store):
    put(store, "v@0", rows(1, b"0"))
    with Process(path, READER) as reader:
        for number in range(1, environment.MAX_TABLES + 50):
            store.write(lambda batch, n=number: (batch.put(f"v@{n}", rows(1, b"%d" % n)), batch.drop(f"v@{n - 1}")))
            assert number % 50 or reader.ask(f"v@{number}") == f"{b'%d' % number} 1"


def test_a_reader_opens_and_reads_while_another_process_writes(path, store):
    put(store, "t", rows(2))
    slow = 'LmdbStore(path).write(lambda b: (b.put("t", [(b"z", b"z")]), print("in", flush=True), sys.stdin.readline()))'
    with Process(path, slow) as writer, Process(path, READER) as reader:
        assert writer.running.stdout.readline().strip() == "in"
        assert reader.ask("t") == "b'v' 2"
        assert got(store) == rows(2)


def test_a_second_materializer_is_told_who_holds_the_lock(path, store):
    script = "lock = LmdbStore(path).lock(); lock.__enter__(); print(os.getpid(), flush=True); sys.stdin.readline()"
    with Process(path, script) as other:
        pid = other.running.stdout.readline().strip()
        with pytest.raises(StoreLocked, match=f"FS401 process {pid} "), store.lock():
            pytest.fail("locked twice")
        put(store, "t", rows(1))
        other.running.send_signal(signal.SIGKILL)
        other.running.wait()
        with store.lock():
            assert (path / "materialize.lock").read_text() == str(os.getpid())


def test_a_forked_child_reads_on_its_own_and_leaves_its_parent_alone(path):
    script = """
    store = LmdbStore(path)
    store.write(lambda b: b.put("t", [(b"k", b"v")]))
    with store.read() as s: s.get("t", [b"k"])
    if os.fork() == 0:
        with store.read() as s: print("child", s.get("t", [b"k"]), flush=True)
        store.write(lambda b: b.put("t", [(b"k", b"w")]))
        os._exit(0)
    print(os.wait()[1])
    with store.read() as s: print("parent", s.get("t", [b"k"]), f" {os.getpid()} " in store._environment.env.readers())
    """
    assert run(path, script).splitlines() == ["child [b'v']", "0", "parent [b'w'] True"]


def test_a_child_forked_within_a_snapshot_is_told_so_and_the_snapshot_keeps_its_protection(path):
    script = """
    store = LmdbStore(path)
    store.write(lambda b: b.put("t", [(b"k", b"v")]))
    with store.read() as s:
        before = store._environment.env.readers()
        if os.fork() == 0:
            try:
                with store.read(): print("read")
            except StoreError as error:
                print(error.code, flush=True)
            s.__exit__(None, None, None)
            store.close()
            os._exit(0)
        print(os.wait()[1], store._environment.env.readers() == before, s.get("t", [b"k"]))
    """
    assert run(path, script).splitlines() == ["FS408", "0 True [b'v']"]


# --- one process ------------------------------------------------------------------------------------------------------


def test_two_stores_on_one_path_share_the_environment(path, store, tmp_path):
    (tmp_path / "alias").symlink_to(path)
    other = LmdbStore(tmp_path / "alias", read_only=True)
    put(store, "t", rows(2))
    assert got(other) == rows(2)
    other.close()
    assert got(store) == rows(2)


def test_a_store_read_so_far_can_be_opened_to_write(path):
    LmdbStore(path).close()
    reader = LmdbStore(path, read_only=True)
    assert got(reader) == []
    writer = LmdbStore(path)
    put(writer, "t", rows(3))
    assert got(reader) == rows(3)
    writer.close()
    assert got(reader) == rows(3)
    reader.close()


def test_a_folder_removed_and_made_anew_is_another_store(path, store):
    put(store, "t", rows(2))
    shutil.rmtree(path)
    anew = LmdbStore(path)
    assert got(anew) == []
    put(anew, "t", rows(1))
    assert got(store) == rows(2)
    anew.close()


def test_reading_what_was_never_written_says_what_to_do(path):
    with pytest.raises(StoreError, match=r"FS402 .* try featurestore materialize"):
        LmdbStore(path, read_only=True)
    assert not path.exists()


def test_a_read_only_store_neither_writes_nor_locks(path):
    LmdbStore(path).close()
    store = LmdbStore(path, read_only=True)
    with pytest.raises(StoreError, match="FS407"):
        put(store, "t", rows(1))
    with pytest.raises(StoreError, match="FS407"), store.lock():
        pytest.fail("locked")
    store.close()


def test_more_tables_than_there_can_be_are_refused_and_nothing_changes(store):
    most = environment.MAX_TABLES
    store.write(lambda batch: [batch.put(f"t{number}", rows(1)) for number in range(most)])
    with pytest.raises(StoreError, match=f"FS406 .* {most} tables"):
        put(store, "one more", rows(1))
    store.write(lambda batch: batch.drop("t0"))
    put(store, "one more", rows(1))
    assert len(store.sizes()) == most + 1


def test_a_path_that_cannot_be_a_folder_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    for read_only in (False, True):
        with pytest.raises(StoreError):
            LmdbStore(tmp_path / "file" / "online", read_only=read_only)


# --- the file ---------------------------------------------------------------------------------------------------------


def cut(path, length):
    os.truncate(path / "data.mdb", length)


def filled(path, count=5_000):
    store = LmdbStore(path)
    put(store, "t", rows(count, b"v" * 50))
    store.close()
    return (path / "data.mdb").stat().st_size


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("keep", [0.99, 0.5, 0.1])
def test_a_truncated_file_is_named_instead_of_killing_the_process(path, keep, read_only):
    cut(path, int(filled(path) * keep))
    with pytest.raises(StoreError, match=r"FS403 .*truncated.*data\.mdb"):
        LmdbStore(path, read_only=read_only)


@pytest.mark.parametrize("content", [b"x", b"x" * 8_192, b"x" * 100_000])
def test_a_file_of_something_else_is_named(path, content):
    path.mkdir()
    (path / "data.mdb").write_bytes(content)
    with pytest.raises(StoreError, match=r"FS403 .*not an LMDB.*data\.mdb"):
        LmdbStore(path)


def test_a_file_cut_within_its_header_is_named(path):
    filled(path)
    cut(path, 5_000)
    with pytest.raises(StoreError, match="FS403"):
        LmdbStore(path)


def test_pages_on_the_free_list_may_be_missing(path):
    """LMDB never writes pages that a transaction took and gave back: such a file is short, and sound."""
    store = LmdbStore(path)
    put(store, "kept", rows(100))
    put(store, "dropped", rows(20_000, b"v" * 50))
    store.write(lambda batch: batch.drop("dropped"))
    for number in range(5):  # and what is in use moves to the front
        store.write(lambda batch, n=number: batch.put_meta("n", b"%d" % n))
    store.close()
    cut(path, (path / "data.mdb").stat().st_size // 2)
    again = LmdbStore(path)
    assert got(again, "kept") == rows(100)
    put(again, "new", rows(20_000, b"w" * 50))
    assert got(again, "new") == rows(20_000, b"w" * 50)
    again.close()


def test_an_empty_file_left_by_a_crash_is_a_new_store(path):
    path.mkdir()
    (path / "data.mdb").touch()
    with pytest.raises(StoreError, match="FS402"):
        LmdbStore(path, read_only=True)
    store = LmdbStore(path)
    assert got(store) == []
    store.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_of_a_newer_format_is_refused_and_left_as_it_is(path, read_only):
    filled(path)
    with lmdb.open(str(path), max_dbs=2) as env, env.begin(write=True) as txn:
        txn.put(b"f", b"7", db=env.open_db(b"catalog", txn=txn))
    before = (path / "data.mdb").read_bytes()
    with pytest.raises(StoreFormat, match=f"format 7, .* up to format {FORMAT} .* newer featurestore"):
        LmdbStore(path, read_only=read_only)
    assert (path / "data.mdb").read_bytes() == before


def test_a_full_disk_is_an_error_and_changes_nothing(path):
    """A limit on file sizes stands for the disk."""
    script = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = LmdbStore(path)
    store.write(lambda b: b.put("t", [(b"k", b"v")]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    try:
        store.write(lambda b: (b.drop("t"), b.put("u", ((b"%06d" % i, b"x" * 999) for i in range(9_999)))))
    except StoreError as error:
        print(error.code, error.exit_code)
    with store.read() as s: print(s.get("t", [b"k"]), s.count("u"))
    store.write(lambda b: b.put("t", [(b"k", b"w")]))
    with store.read() as s: print(s.get("t", [b"k"]))
    """
    assert run(path, script).splitlines() == ["FS405 5", "[b'v'] 0", "[b'w']"]
    again = LmdbStore(path)
    assert got(again) == [(b"k", b"w")]
    again.close()


def test_a_disk_without_room_for_what_is_expected_is_an_error_before_any_work(store):
    with pytest.raises(StoreError, match="FS405"):
        store.write(lambda batch: pytest.fail("began"), expected_bytes=1 << 60)


def test_a_file_system_error_within_fill_is_not_taken_for_ours(store):
    def fill(batch):
        raise OSError("the source")

    with pytest.raises(OSError, match="the source"):
        store.write(fill)
