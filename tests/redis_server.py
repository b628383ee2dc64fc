"""A Redis of the test's own: Debian's redis-server on a free port of this machine, in a folder that goes with the test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
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


class Proxy:
    """Stands between a client and the server: counts what is sent to it, and can cut the line at a chosen moment."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.sent: list[bytes] = []
        self._cut_at, self._deliver = b"", False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut_at(self, command: bytes, *, deliver: bool) -> None:
        """Cut the line when `command` next comes by: before the server has it, or after, and without its reply."""
        self._cut_at, self._deliver = command, deliver

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server.port))
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            back = threading.Thread(target=self._back, args=(server, client), daemon=True)
            back.start()
            while data := _received(client):
                self.sent.append(data)
                if self._cut_at and self._cut_at in data:
                    self._cut_at = b""
                    if self._deliver:
                        client.shutdown(socket.SHUT_RDWR)
                        server.sendall(data)
                        time.sleep(0.2)
                    break
                server.sendall(data)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        while data := _received(server):
            with contextlib.suppress(OSError):
                client.sendall(data)


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(1 << 20)
    except OSError:
        return b""
