"""An S3 of the test's own: moto's server in a process of its own, on a free port of this machine, and a way in that counts.

Keys and endpoint come to the code under test as they would anywhere: from the environment.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.needs import require

KEY_ID, SECRET = "AKIAPLANTEDKEYID0000", "planted+secret/that-is-shown-nowhere"
_STARTS_WITHIN = 60
_numbers = itertools.count()


class S3Server:
    """Runs within `with`. Each test makes a bucket of its own."""

    def __init__(self) -> None:
        for module in ("moto", "s3fs", "flask"):
            require("s3", importlib.util.find_spec(module) is not None, f"{module} is not installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.served = Counting(self._port)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.served.port}", "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        }  # fmt: skip

    def __enter__(self) -> S3Server:
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + _STARTS_WITHIN
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return self
            assert self._process.poll() is None, "moto's server does not start"
            assert time.monotonic() < end, "moto's server does not answer"
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.served.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def client(self) -> Any:
        """A client that is not counted, to lay out what a test reads."""
        import boto3

        return boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{self._port}", aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )  # fmt: skip

    def bucket(self) -> Bucket:
        return Bucket(self, f"test-{next(_numbers)}")


class Bucket:
    """A bucket of a test, laid out without being counted."""

    def __init__(self, server: S3Server, name: str) -> None:
        self.server, self.name, self._client = server, name, server.client()
        self._client.create_bucket(Bucket=name)

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def put(self, key: str, content: bytes | pa.Table, **writing: Any) -> int:
        """Put bytes, or a table as Parquet. Returns: how many bytes it is."""
        if isinstance(content, pa.Table):
            sink = io.BytesIO()
            pq.write_table(content, sink, **writing)
            content = sink.getvalue()
        self._client.put_object(Bucket=self.name, Key=key, Body=content)
        return len(content)

    def get(self, key: str) -> bytes:
        return bytes(self._client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def deny(self, action: str) -> None:
        """Nobody may do that here, whatever the keys."""
        objects = f"arn:aws:s3:::{self.name}/*"
        rule = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": objects}
        self._client.put_bucket_policy(Bucket=self.name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [rule]}))

    def allow(self) -> None:
        self._client.delete_bucket_policy(Bucket=self.name)

    def listed(self) -> list[str]:
        return [found["Key"] for found in self._client.list_objects_v2(Bucket=self.name).get("Contents", [])]

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.name, Key=key)


class Counting:
    """A way to a port that counts what comes back, requests by what they ask, and can do something before one."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.bytes = 0
        self.requests: list[str] = []
        self.before: Callable[[str], None] | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    @contextmanager
    def counted(self) -> Iterator[Counting]:
        """Counts from 0."""
        self.bytes, self.requests = 0, []
        yield self

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                asking, _ = self._listening.accept()
                try:
                    answering = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    asking.close()
                    continue
                for pump in (self._requests, self._answers):
                    threading.Thread(target=pump, args=(asking, answering), daemon=True).start()

    def _requests(self, asking: socket.socket, answering: socket.socket) -> None:
        with suppress(OSError):
            while data := asking.recv(1 << 16):
                first = data.split(b"\r\n", 1)[0].decode(errors="replace")
                if first.endswith("HTTP/1.1"):
                    self.requests.append(first.removesuffix(" HTTP/1.1"))
                    if self.before is not None:
                        self.before(self.requests[-1])
                answering.sendall(data)
        for side in (asking, answering):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _answers(self, asking: socket.socket, answering: socket.socket) -> None:
        with suppress(OSError):
            while data := answering.recv(1 << 16):
                self.bytes += len(data)
                asking.sendall(data)
        for side in (asking, answering):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()


__all__ = ["KEY_ID", "SECRET", "Bucket", "Counting", "S3Server"]
