"""Run our code in a process of its own and kill it, at a named moment or at any. Used by the crash tests.

Processes are forked from a server that has imported everything already: a kill costs what the work costs.
"""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random
from signal import SIGKILL
from typing import Any

import featurestore
from featurestore import failpoints

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "pytest",
        "pandas",
        "pyarrow.parquet",
        "featurestore.retrieval.build",
        "featurestore.materialization",
        "featurestore.online.lmdb",
    ]
)
PATIENCE = 120.0
KILLED = -SIGKILL
FORGET_IN_LOG = "forget.log_written"
"""The moment of `forget` that only a project with a push log comes to."""

Work = Callable[..., None]
"""A function at the top of a module, and arguments that can be pickled."""


def run(work: Work, *args: Any, fail_at: str = "", after: float | None = None) -> int:
    """Do `work` in a process; kill it at the fail point, or `after` seconds. Returns: its exit code, KILLED if it was."""
    ready = CONTEXT.Event()
    process = CONTEXT.Process(target=_work, args=(fail_at, ready, work, args))
    process.start()
    assert ready.wait(PATIENCE), "the process does not start"
    process.join(PATIENCE if after is None else after)
    process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _work(fail_at: str, ready: Event, work: Work, args: tuple[Any, ...]) -> None:
    failpoints._AT = fail_at
    ready.set()
    work(*args)


def kill_at_random(rng: Random, kills: int, attempt: Callable[[float], int]) -> None:
    """Have `attempt(seconds)` killed so often, at moments spread over the whole of a run; those that finish do not count.

    How long a run takes is measured as we go: a run that finishes before its moment shortens what follows.
    """
    whole, done, tried = PATIENCE, 0, 0
    while done < kills:
        tried += 1
        assert tried < 4 * kills, f"only {done} of {tried} runs could be killed"
        start = time.monotonic()
        if attempt(PATIENCE if tried == 1 else whole * rng.random()) == KILLED:
            done += 1
        else:
            whole = time.monotonic() - start


def fail_points(of: str) -> set[str]:
    """The fail points the code names, such as "build.written"; numbered ones as 0 and 1."""
    found: set[str] = set()
    for path in Path(str(featurestore.__file__)).parent.rglob("*.py"):
        for name in re.findall(rf'\breach\(f?"({of}\.[^"]+)"\)', path.read_text(encoding="utf-8")):
            found |= {name.replace("{number}", str(n)) for n in (0, 1)}
    return found
