"""A writer is killed at any moment: readers go on seeing the old generation or the new one, whole."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from featurestore.online.lmdb import LmdbStore

ROOT = Path(__file__).parents[2]
KILLS = 30
ROWS = 3_000

WRITER = f"""
import itertools, os, sys
from pathlib import Path
from featurestore.online.lmdb import LmdbStore
path = Path(sys.argv[1])

def write_for_ever():
    store = LmdbStore(path, map_size=1 << 17)
    with store.read() as snapshot:
        start = int(snapshot.meta("now") or 0) + 1
    for number in itertools.count(start):
        def fill(batch):
            value = b"%d" % number
            batch.put_meta("now", value)
            batch.put(f"t@{{number}}", ((b"%06d" % i, value * 9) for i in range({ROWS})))
            batch.drop(f"t@{{number - 1}}")
            batch.put("in place", ((b"%06d" % i, value) for i in range(0, {ROWS}, 7)))
        store.write(fill)


for _ in sys.stdin:  # one start-up for many writers: each line forks one, before any store is open here
    child = os.fork()
    if child == 0:
        write_for_ever()
    print(child, flush=True)
    os.waitpid(child, 0)
"""

READER = f"""
import sys
from pathlib import Path
from featurestore.online.lmdb import LmdbStore
store, seen, reads = LmdbStore(Path(sys.argv[1]), read_only=True, map_size=1 << 17), 0, 0
stop = Path(sys.argv[2])
while not stop.exists():
    with store.read() as snapshot:
        now = snapshot.meta("now")
        if now is None:
            continue
        table = f"t@{{now.decode()}}"
        rows = list(snapshot.scan(table))
        assert len(rows) == snapshot.count(table) == {ROWS}, (now, len(rows))
        assert {{value for _, value in rows}} == {{now * 9}}, now
        assert {{value for _, value in snapshot.scan("in place")}} == {{now}}, now
        assert set(snapshot.sizes()) == {{table, "in place"}}, now
        assert int(now) >= seen, (now, seen)
        seen, reads = int(now), reads + 1
print(reads, seen)
"""


def test_thirty_kills_tear_nothing(tmp_path):
    path, stop = tmp_path / "online", tmp_path / "stop"
    LmdbStore(path, map_size=1 << 17).close()
    with start(READER, path, stop) as reader, start(WRITER, path) as nursery:
        moments = random.Random(7)
        for _ in range(KILLS):
            kill_one(nursery, after=moments.uniform(0.0, 0.25))
            assert_whole(path)
        nursery.stdin.close()
        stop.touch()
        out, errors = reader.stdout.read(), reader.stderr.read()
    assert reader.returncode == 0, errors
    reads, last = map(int, out.split())
    assert reads > KILLS
    assert last > KILLS


def start(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
    )


def kill_one(nursery, after):
    """Start a writer, and kill it that many seconds later."""
    print(file=nursery.stdin)
    line = nursery.stdout.readline()
    time.sleep(after)
    os.kill(int(line), signal.SIGKILL)


def assert_whole(path):
    """A process that comes after the kill can open, read, write and take the lock at once."""
    store = LmdbStore(path)
    with store.read() as snapshot:
        now = snapshot.meta("now")
        if now is not None:
            assert {value for _, value in snapshot.scan(f"t@{now.decode()}")} == {now * 9}
    with store.lock():
        store.write(lambda batch: batch.put_meta("beside", b"x"))
    store.close()
