"""What a command answers, for people and as JSON, and what errors look like on the way out."""

from __future__ import annotations

import base64
import json
import math
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from featurestore.atomic import DISK_FULL
from featurestore.errors import FeatureStoreError, StoreError, UsageError, nearest


class CheckFailed(FeatureStoreError):
    """A check ran, and what it checked is not so: exit 1."""

    exit_code = 1


class Interrupted(FeatureStoreError):
    """Ctrl-C: exit 130; SIGTERM: exit 143; as the shell says of a program that a signal ended."""

    def __init__(self, by: int | None = None) -> None:
        self.exit_code = 128 + (by or signal.SIGINT)  # type: ignore[misc]
        what = "terminated" if by == signal.SIGTERM else "interrupted"
        super().__init__("FS902", what, hint="the same command again: nothing is half-written")


@dataclass
class Answer:
    """A command's answer. result: for `--json`. text: for people. errors: the first decides the exit code.

    silent: all was said already (help, version); `code` is then the exit code.
    """

    result: Mapping[str, Any] | None = None
    text: str = ""
    errors: list[FeatureStoreError] = field(default_factory=list)
    silent: bool = False
    code: int = 0

    @property
    def exit_code(self) -> int:
        return self.errors[0].exit_code if self.errors else self.code


def show(answer: Answer, command: str, *, as_json: bool, told: bool = False) -> None:
    """Print an answer: one JSON object on stdout, or the text there and errors on stderr. told: errors are told otherwise."""
    if answer.silent:
        return
    if as_json:
        print(document(answer, command))
        return
    if answer.text:
        print(answer.text.rstrip("\n"), flush=True)
    for error in [] if told else answer.errors:
        print(error, file=sys.stderr)


def document(answer: Answer, command: str) -> str:
    """{"command", "ok", "result", "errors"} on one line."""
    whole = {
        "command": command,
        "ok": not answer.errors,
        "result": answer.result,
        "errors": [error.to_dict() for error in answer.errors],
    }
    return json_text(whole)


def json_text(value: Any) -> str:
    """Any value as one line of JSON."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NaN and infinities by name, decimals and times as text, bytes in base64."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | PurePath) else value


def usage(error: Any) -> UsageError:
    """What the parser refused, in our words. `error` is a ClickException."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "featurestore"
    what = re.split(r" \(Possible options|\. Did you mean|\n", str(error.format_message()).strip())[0].rstrip(".")
    known = sorted(getattr(error, "possibilities", None) or ())
    if context is not None and what.startswith("No such command"):
        known = list(context.command.commands)
    near = nearest(re.split(r"[' ]", what.rstrip("'"))[-1], known)
    hint = f"{path} {near}" if near else f"{path} --help"
    return UsageError("FS100", what[:1].lower() + what[1:], known=known, hint=hint)


def unexpected(error: BaseException, *, verbose: bool) -> FeatureStoreError:
    """An exception nobody foresaw, in one line. What the system refused is no surprise and gets its own codes."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno is not None:
        where = PurePath(str(error.filename)).name if error.filename else ""
        if error.errno in DISK_FULL:
            return StoreError("FS405", "the disk is full", where=where, hint="free space; nothing was changed")
        return StoreError("FS407", f"the system refused: {error.strerror or text}", where=where)
    hint = "the traceback above, in a bug report" if verbose else "-v for the traceback"
    return FeatureStoreError("FS901", f"unexpected {type(error).__name__}: {text}"[:500], hint=hint)
