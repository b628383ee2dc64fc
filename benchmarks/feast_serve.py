"""Feast's own Python server and ours, asked the same: 20 features of two views, of 1, 100 and 1,000 keys.

Both are filled from the same files (Feast's into SQLite, ours into LMDB), serve by one worker on this machine, and get the
same request in Feast's form, byte for byte; their answers are compared before anything is measured. The load comes from this
process. Rounds alternate and the best of each side counts, since noise only takes away.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import data as generated
from data import Place
from environments import environment
from figures import Figure
from measure import Case, Contender

HERE = Path(__file__).resolve().parent
PATH = "/get-online-features"
SIZES = generated.Sizes(rows=20_000, keys=20_000, spine=1, files=2)
KEYS = {1: (16, 1.0), 100: (4, 1.5), 1_000: (2, 5.0)}
"""Keys of a request -> connections that keep a server busy, and the seconds of a round."""
ROUNDS = 2
STARTS_WITHIN = 120
FEATURES = [f"{view}:{view}{i}" for view in "ab" for i in range(10)]
REGISTRY = """\
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, latest

key = Entity(name="key", join_keys=["key"])
views = [
    FeatureView(
        name=name, entities=[key], features=[latest(f"{{name}}{{i}}") for i in range(10)],
        source=ParquetSource(name=f"of_{{name}}", path=f"{folder}/{{name}}.parquet", event_timestamp="e", delay="0s"),
    )
    for name in "ab"
]
both = FeatureService(name="both", features=views)
"""


class FeastServe:
    def __init__(self, folder: Path, scratch: Path, sizes: generated.Sizes) -> None:
        self._folder, self._sizes = folder, sizes
        self._home, self._project = scratch / "feast_serve", scratch / "feast_serve_ours"
        self._python = environment("feast")
        self._rates: dict[tuple[str, int], float] = {}
        self._waits: dict[tuple[str, int], float] = {}
        self._version = ""

    def measure(self) -> list[Figure]:
        import serve

        self._fill()
        with self._feast() as feast, serve.server("--ours", str(self._project)) as ours:
            ports = {"Feast": feast, "ours": ours}
            for keys in KEYS:
                self._compare(ports, keys)
            for number in range(ROUNDS):
                for keys in KEYS:
                    for name in list(ports)[:: -1 if number % 2 else 1]:
                        self._load(name, ports[name], keys)
        return [self._figure(keys) for keys in KEYS]

    def _fill(self) -> None:
        if self._home.exists():
            return
        self._home.mkdir()
        arguments = {"folder": str(self._folder), "home": str(self._home)}
        done = Contender("store", arguments, python=self._python, script=HERE / "feast_task.py").run()
        self._version = done["version"]

        from featurestore import FeatureStore

        (self._project / "registry").mkdir(parents=True)
        (self._project / "featurestore.toml").write_text('[project]\nname = "both"\n', encoding="utf-8")
        (self._project / "registry" / "both.py").write_text(REGISTRY.format(folder=self._folder), encoding="utf-8")
        FeatureStore(self._project).materialize()

    @contextmanager
    def _feast(self) -> Iterator[int]:
        """Feast's server on a free port, spared access log, fresh workers and fresh registries. Gives: the port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        feast = str(Path(self._python).with_name("feast"))
        spared = ["--no-access-log", "--max-requests", "0", "--registry_ttl_sec", "3600"]
        command = [feast, "serve", "--port", str(port), *spared]
        said = self._home / "serve.log"
        with said.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=self._home, stdout=log, stderr=log, env={**os.environ, "HOME": str(self._home)}
            )
        try:
            until = time.monotonic() + STARTS_WITHIN
            while time.monotonic() < until and process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError(f"Feast's server did not start:\n{said.read_text(encoding='utf-8')[-2000:]}")
            yield port
        finally:
            process.terminate()
            process.wait(30)

    def _question(self, keys: int) -> bytes:
        step = self._sizes.keys // keys
        return json.dumps({"features": FEATURES, "entities": {"key": [(i * step) for i in range(keys)]}}).encode()

    def _compare(self, ports: dict[str, int], keys: int) -> None:
        import serve

        answers = [_by_name(serve.once(port, self._question(keys), PATH)) for port in ports.values()]
        if answers[0] != answers[1] or len(answers[0]) != len(FEATURES) + 1:
            raise RuntimeError(f"the servers answer differently for {keys} keys")

    def _load(self, name: str, port: int, keys: int) -> None:
        import uvloop

        import serve

        question, (connections, length) = self._question(keys), KEYS[keys]
        rate, _ = uvloop.run(serve.clients(port, question, connections, length, PATH))
        _, waits = uvloop.run(serve.clients(port, question, 1, length, PATH))
        which = name, keys
        self._rates[which] = max(self._rates.get(which, 0.0), rate)
        if waits:  # a machine busy with other things may let none through in time
            self._waits[which] = min(self._waits.get(which, float("inf")), waits[len(waits) // 2])

    def _figure(self, keys: int) -> Figure:
        told = [
            f"{name} {self._rates[name, keys]:,.{0 if self._rates[name, keys] >= 100 else 1}f} requests/s, "
            f"p50 {self._waits.get((name, keys), float('inf')) * 1e3:.2f} ms"
            for name in ("ours", "Feast")
        ]
        explained = (
            f"Feast {self._version}, its Python server on SQLite, {self._sizes.keys:,} keys: one worker each, the same request "
            f"and the same answer, some connections for rates and one for latencies, the load from the same machine."
        )
        ratio = self._rates["ours", keys] / self._rates["Feast", keys]
        return Figure(f"feast_serve_{keys}", ratio, "; ".join(told), explained=explained if keys == 1 else "")


def _by_name(answer: bytes) -> dict[str, Any]:
    """Columns by name: Feast has no order within a view."""
    given = json.loads(answer)
    return dict(zip(given["metadata"]["feature_names"], given["results"], strict=True))


def case(place: Place) -> Case:
    return FeastServe(place.ensure("wide", generated.wide, SIZES), place.scratch, SIZES.scaled(place.scale))
