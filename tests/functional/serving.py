"""A project whose online store is filled, a server process over it, and a client that sends exactly what it is told."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurestore import FeatureStore
from featurestore.scaffold import create

ROOT = Path(__file__).resolve().parents[2]
WATERMARK = "2026-01-01T00:00:00Z"
PATH = "/v1/online-features"
_SERVE = """
import sys
from pathlib import Path
from featurestore import config
from featurestore.server.run import serve

if __name__ == "__main__":
    root, workers, manifest = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    serve(config.load(root), root, port=0, workers=workers, manifest=Path(manifest) if manifest else None)
"""


def make_project(folder: Path, *, rows: int = 3_000) -> Path:
    """A scaffolded project, materialized up to WATERMARK."""
    create(folder, rows=rows)
    FeatureStore(folder).materialize(known_before=WATERMARK)
    return folder


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A running server."""

    port: int
    process: subprocess.Popen[str]

    def send(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("GET", path, headers=headers)

    def ask(self, question: Any = None, headers: Mapping[str, str] | None = None, **fields: Any) -> Answer:
        """POST a question: an object, or its bytes, or its fields."""
        given = question if isinstance(question, bytes) else json.dumps(fields if question is None else question).encode()
        return self.send("POST", PATH, given, {"content-type": "application/json", **(headers or {})})

    def metrics(self) -> dict[str, float]:
        """What /metrics tells, by name and labels as they are written."""
        lines = self.get("/metrics").body.decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after the signal."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def serving(
    root: Path, *, workers: int = 1, manifest: str = "", script: Path | None = None, **settings: object
) -> Iterator[Served]:
    """A server process on a free port, over the project `root`.

    script: where to keep the program, which workers import again. settings: of [server]; it stops at once by default.
    """
    given = {f"FEATURESTORE_SERVER__{name}".upper(): str(value) for name, value in {"drain": "0s", **settings}.items()}
    program = (script or root / "serve.py").absolute()
    program.write_text(_SERVE, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(program), str(root), str(workers), manifest],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT), **given},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("serving on http://"), said + process.stderr.read()
        yield Served(int(said.rsplit(":", 1)[1]), process)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
        assert process.stderr is not None
        process.stderr.close()


def within_seconds(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it becomes true, looking again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False
