"""Look-ups from Redis, beside redis-py's own MGET of the same keys from the same server.

    python benchmarks/lookups.py PROJECT URL        a project whose store in Redis is filled

Both run in one process, in turn; the least time of many short rounds counts. The MGET gives bytes. A look-up checks the
question, makes the keys, proves the generation, and evaluates ttl and windows besides.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROUNDS = 60
MANY = 100


def measure(root: Path, url: str) -> dict[str, float]:
    """Microseconds of a look-up, of reading its records alone, and of redis-py's MGET: for one row, and for many.

    Returns: {"one_look_up", "one_read", "one_mget", "many_look_up", …, "features"}.
    """
    import redis

    from featurestore import FeatureStore
    from featurestore.online.redis import RedisStore

    store = FeatureStore(root)
    online = store.reader.store
    assert isinstance(online, RedisStore)
    with online.read() as snapshot:
        service = next(iter(store.reader.services(snapshot).values()))
    entities = known_entities(service, online)
    found: dict[str, float] = {"features": len(service.feature_names)}
    with redis.Redis.from_url(url) as client:
        for what, rows, calls in (("one", 1, 100), ("many", MANY, 5)):
            asked = {column: values[:rows] for column, values in entities.items()}
            look_up = partial(store.get_online_features, service.name, asked, as_of=service.watermark)
            requests, names = reads_of(look_up, online)
            assert all(value is not None for value in client.mget(names))
            contenders = {"mget": partial(client.mget, names), "read": partial(online.recall().get_many, requests)}
            times = least({**contenders, "look_up": look_up}, calls)
            found |= {f"{what}_{name}": round(micros, 1) for name, micros in times.items()}
    return found


def known_entities(service: Any, online: Any) -> dict[str, list[Any]]:
    """MANY rows of keys that every view knows."""
    from featurestore.online.codec import decode_key

    entities: dict[str, list[Any]] = {}
    with online.read() as snapshot:
        for view in service.views:
            keys = [decode_key(key[1:], view.families) for key, _ in snapshot.scan(view.table)]
            for i, column in enumerate(view.key_columns):
                entities.setdefault(column, [keys[n % len(keys)][i] for n in range(MANY)])
    return entities


def reads_of(look_up: Callable[[], Any], online: Any) -> tuple[Any, list[bytes]]:
    """What a look-up asks of the store, and the keys in Redis that this means."""
    snapshot, asked = online.recall(), []
    get_many, rows = snapshot.get_many, snapshot._reader.rows

    def note_requests(requests: Any) -> Any:
        asked.append(requests)
        return get_many(requests)

    def note_names(of: Any, names: list[bytes]) -> Any:
        asked.append([online._layout.epoch, *names])
        return rows(of, names)

    snapshot.get_many, snapshot._reader.rows = note_requests, note_names
    look_up()
    del snapshot.get_many, snapshot._reader.rows
    requests, names = asked
    return requests, names


def least(contenders: Mapping[str, Callable[[], Any]], calls: int) -> dict[str, float]:
    """Microseconds a call, the least of many rounds taken in turn."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, call in contenders.items():
            start = time.perf_counter()
            for _ in range(calls):
                call()
            best[name] = min(best[name], (time.perf_counter() - start) / calls * 1e6)
    return best


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A redis-server of our own that keeps nothing. Gives: its URL. Raises: RuntimeError where there is none."""
    import redis

    program = shutil.which("redis-server")
    if program is None:
        raise RuntimeError("redis-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(500):
            try:
                with redis.Redis(port=port) as client:
                    client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def in_redis(url: str) -> dict[str, str]:
    """The environment of a process whose project keeps its store in Redis."""
    settings = {"FEATURESTORE_ONLINE__STORE": "redis", "FEATURESTORE_ONLINE__URL": url}
    return {**os.environ, **settings, "PYTHONPATH": str(HERE.parent)}


def run(root: Path, url: str) -> dict[str, float]:
    """`measure`, in a process of its own."""
    command = [sys.executable, __file__, str(root), url]
    done = subprocess.run(command, env=in_redis(url), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])))
