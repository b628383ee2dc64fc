"""A Redis of the test's own: Debian's redis-server on a free port of this machine, in a folder that goes with the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from tests.needs import require_program

_STARTS_WITHIN = 30


class RedisServer:
    """Runs within `with`, or between `start` and `stop`. It keeps nothing on disk, so a restart begins empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._program = require_program("redis-server")
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self, *options: str) -> None:
        """options: as for redis-server, such as "--maxmemory", "3mb"."""
        settings = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._process = subprocess.Popen([self._program, *settings, *options], stdout=subprocess.DEVNULL)
        end = time.monotonic() + _STARTS_WITHIN
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.ConnectionError:
                assert self._process.poll() is None, "redis-server does not start"
                assert time.monotonic() < end, "redis-server does not answer"
                time.sleep(0.02)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Let it take connections and say nothing, as one does that is overloaded or cut off."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def client(self) -> Any:
        """redis-py's own, to look at what the store has done, and to do harm."""
        return redis.Redis(port=self.port)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)
