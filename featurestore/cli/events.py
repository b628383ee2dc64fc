"""What a command does while it runs, for machines: one JSON object a line, on stderr or appended to a file (`--events`).

Decides what an event looks like. The answer itself stays on stdout; a run never fails because its events cannot be written.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from featurestore.cli.answer import Answer, json_text
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from featurestore.progress import Progress

EVENTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "start": ("the command line was understood", ("version",)),
    "stage": ("work of another kind begins; total: rows, where they are counted", ("stage", "done", "total")),
    "progress": ("how far a stage is, every 10 seconds", ("stage", "done", "total")),
    "warning": ("what the reader should know", ("text",)),
    "log": ("a line of the library's log", ("level", "logger", "text")),
    "training_set": ("`build` has written one", ("output", "service", "fingerprint", "rows", "known_before", "content_hash")),
    "view": (
        "`materialize` is done with a view, whose new state is live",
        ("view", "mode", "reason", "watermark", "generation", "keys", "keys_written", "bytes_written", "seconds"),
    ),
    "service": (
        "`verify` is done with a service; cells by view, with --log by feature, and outcome",
        ("service", "rows", "cells"),
    ),
    "round": ("`monitor` has looked; results by status, alerts by name", ("at", "checks", "opened", "resolved", "waiting")),
    "end": ("the last one; errors as in the answer", ("ok", "exit_code", "seconds", "errors")),
}
"""What each event says, beside `time`, `event`, `command` and `run`, which all have."""
STDERR = "-"
EVERY = 10.0
"""Seconds from a `progress` event to the next of the same stage."""


class Events:
    """The events of one run of a command. target: where they go; None: nowhere."""

    def __init__(self, command: str, target: str | None = None) -> None:
        self.command, self.target, self.run = command, target, str(uuid.uuid4())
        self._began = time.monotonic()
        self._file = None if target in (None, STDERR) else _opened(str(target))

    @property
    def on_stderr(self) -> bool:
        """stderr holds nothing but events."""
        return self.target == STDERR

    def say(self, event: str, **told: Any) -> None:
        if self.target is None:
            return
        at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        line = json_text({"time": at, "event": event, "command": self.command, "run": self.run, **told})
        try:
            self._write(line + "\n")
        except OSError as error:
            self.close()
            if self.on_stderr:  # nobody listens: nor does the interpreter try again at its end
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
            else:
                print(f"warning: no more events: {error.strerror or error}", file=sys.stderr, flush=True)
            self.target = None

    def _write(self, line: str) -> None:
        """One write a line: runs that share a file do not mix within it."""
        if self._file is None:
            sys.stderr.write(line)
            sys.stderr.flush()
        else:
            os.write(self._file, line.encode())

    def end(self, done: Answer) -> None:
        """The last event: how it ended."""
        if not done.silent:
            seconds = round(time.monotonic() - self._began, 3)
            errors = [error.to_dict() for error in done.errors]
            self.say("end", ok=not errors, exit_code=done.exit_code, seconds=seconds, errors=errors)
        self.close()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def watcher(self) -> Watched:
        return Watched(self)


class Watched:
    """Progress as events: `stage` when one begins, `progress` now and then."""

    def __init__(self, events: Events) -> None:
        self._events, self._stage, self._said = events, "", 0.0

    def __call__(self, now: Progress) -> None:
        told = {"stage": now.stage, "done": now.done, "total": now.total}
        if now.stage != self._stage:
            self._stage, self._said = now.stage, time.monotonic()
            self._events.say("stage", **told)
        elif time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            self._events.say("progress", **told)


class LogHandler(logging.Handler):
    """The library's log as events."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        self._events.say("log", level=record.levelname.lower(), logger=record.name, text=record.getMessage())


def asked_for(options: Sequence[str]) -> str | None:
    """The value of --events in a command line, also in one that cannot be parsed."""
    for position, option in enumerate(options):
        if option == "--events":
            return next(iter(options[position + 1 :]), None)
        if option.startswith("--events="):
            return option.partition("=")[2]
    return None


def _opened(path: str) -> int:
    """Raises: UsageError FS106."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError as error:
        what = f"--events {path}: {error.strerror}"
        raise UsageError("FS106", what, hint="a file in a folder that exists, or - for stderr") from error


CURRENT: ContextVar[Events] = ContextVar("events", default=Events(""))  # noqa: B039  # it says nothing
"""The events of the command that runs."""
