"""A PostgreSQL of the test's own: Debian's, on a free port of this machine, in a folder that goes with the test."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from tests.needs import require

_STARTS_WITHIN = 60
_PROGRAMS = "/usr/lib/postgresql/*/bin"
_ACCESS = "local all all trust\nhost all reader 127.0.0.1/32 scram-sha-256\n"
_QUICK = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "30",
    "shared_buffers": "64MB",
}


class PostgresServer:
    """Runs within `with`, or between `start` and `stop`; a restart finds what was there. Through its socket in `folder` the
    user `postgres` may do everything; by its port `reader`, with a password, may read."""

    PASSWORD = "pl4nted-s3cret"
    DATABASE = "shop"

    def __init__(self) -> None:
        self._programs = _programs()
        self._user = _unprivileged()
        self.folder = Path(
            tempfile.mkdtemp(prefix="postgres-")
        )  # the server refuses to run as root, and cannot look into root's
        if self._user is not None:
            shutil.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def url(self) -> str:
        """As `reader`; the password comes from the environment."""
        return f"postgresql://reader@127.0.0.1:{self.port}/{self.DATABASE}"

    @property
    def admin_url(self) -> str:
        return f"postgresql:///{self.DATABASE}?host={self.folder}&port={self.port}&user=postgres"

    def __enter__(self) -> PostgresServer:
        self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        (self.folder / "data" / "pg_hba.conf").write_text(_ACCESS)
        self.start()
        self.sql(f"CREATE DATABASE {self.DATABASE}", database="postgres")
        self.sql(f"CREATE ROLE reader LOGIN PASSWORD '{self.PASSWORD}'")
        self.sql("GRANT USAGE ON SCHEMA public TO reader; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        options = [part for name, value in _QUICK.items() for part in ("-c", f"{name}={value}")]
        places = ["-D", "data", "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._program("postgres"), *places, *options], stderr=log, **self._as_user())
        end = time.monotonic() + _STARTS_WITHIN
        while not self._answers():
            assert self._process.poll() is None, f"postgres does not start: {self.log()}"
            assert time.monotonic() < end, "postgres does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """At once, as when its machine goes: sessions are cut off."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait()

    def sql(self, statements: str, database: str = DATABASE) -> str:
        """What psql answers, as the one who may do everything."""
        return self._run(
            "psql", "-h", str(self.folder), "-p", str(self.port), "-U", "postgres", "-d", database,
            "-v", "ON_ERROR_STOP=1", "-qAtX", "-c", statements,
        )  # fmt: skip

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def _answers(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.sql("SELECT 1", database="postgres")
            return True
        return False

    def _run(self, program: str, *arguments: str) -> str:
        command = [self._program(program), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, **self._as_user())
        return done.stdout.strip()

    def _program(self, name: str) -> str:
        return str(self._programs / name)

    def _as_user(self) -> dict[str, object]:
        user = {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**user, "cwd": self.folder, "env": {**kept, "PGOPTIONS": "-c lock_timeout=10s"}}


def _programs() -> Path:
    """The folder of the newest installed server's programs."""
    found = sorted(glob.glob(_PROGRAMS), key=lambda path: float(path.split("/")[-2]))
    require("postgresql", bool(found), f"no PostgreSQL in {_PROGRAMS}")
    return Path(found[-1])


def _unprivileged() -> pwd.struct_passwd | None:
    """Who the server runs as, where the tests run as root."""
    if os.getuid() != 0:
        return None
    names = {user.pw_name: user for user in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]
