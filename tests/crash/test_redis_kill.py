"""A writer to Redis is killed at any moment: readers go on seeing the old generation or the new one, whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.online.redis import RedisStore
from featurestore.online.store import Snapshot
from featurestore.testing.online import put_meta, seen
from tests.needs import ROOT
from tests.redis_server import RedisServer

KILLS = 25
ROWS = 3_000

WRITER = f"""
import itertools, os, sys
from featurestore.online.redis import RedisStore, batch
batch.STAGING_SECONDS = 1

def write_for_ever():
    store = RedisStore(sys.argv[1], "shop")
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


for _ in sys.stdin:  # one start-up for many writers: each line forks one
    child = os.fork()
    if child == 0:
        write_for_ever()
    print(child, flush=True)
    os.waitpid(child, 0)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as found:
        yield found


def whole(snapshot: Snapshot) -> int:
    """The generation that is there, of which every row must be."""
    now = snapshot.meta("now")
    if now is None:
        return 0
    keys = [b"%06d" % i for i in range(ROWS)]
    rows, in_place = snapshot.get_many([(f"t@{now.decode()}", keys), ("in place", keys[::7])])
    assert set(rows) == {now * 9}
    assert set(in_place) == {now}
    assert snapshot.count(f"t@{now.decode()}") == ROWS
    return int(now)


def test_killed_writers_tear_nothing_and_what_they_leave_is_swept(server: RedisServer) -> None:
    reader = RedisStore(server.url, "shop")
    command = [sys.executable, "-c", WRITER, server.url]
    moments, generations, staged = random.Random(7), [0], 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for _ in range(KILLS):
            print(file=nursery.stdin)
            child, killed = int(nursery.stdout.readline()), time.monotonic() + moments.uniform(0.0, 0.25)
            while time.monotonic() < killed:
                generations.append(seen(reader, whole, recall=True))
            os.kill(child, signal.SIGKILL)
            generations.append(seen(reader, whole))
            put_meta(reader, "beside", b"x")  # whoever comes after can write at once
            with server.client() as client:
                staged += client.scard("fs:shop:garbage")
        nursery.stdin.close()
    assert generations == sorted(generations)
    assert generations[-1] > 3
    assert staged > 0  # some were killed between the first row and the switch
    time.sleep(1.1)
    with reader.lock():
        pass
    with server.client() as client:
        assert client.scard("fs:shop:garbage") == 0
        assert len(client.keys("fs:shop:t:*")) == ROWS + len(range(0, ROWS, 7))
