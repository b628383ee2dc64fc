"""Run contenders side by side: each run a process of its own, the order turned round every time, the least time kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from figures import Figure

HERE = Path(__file__).resolve().parent
TIMEOUT = 1_800


class Case(Protocol):
    """Measures some more and gives the figures of all runs so far."""

    def measure(self) -> list[Figure]: ...


@dataclass
class Measured:
    """Runs of one contender. seconds: the least, since noise only adds; peak_mb: the most."""

    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.least("seconds")

    def least(self, what: str) -> float:
        return min(float(run[what]) for run in self.runs)

    @property
    def peak_mb(self) -> float:
        return max(float(run["peak_mb"]) for run in self.runs)

    @property
    def last(self) -> dict[str, Any]:
        return self.runs[-1]


@dataclass(frozen=True)
class Contender:
    """A task and its arguments; `python` and `script` are for one that lives in another environment. Builds make no profiles,
    as their peers make none: what one adds is a figure of its own."""

    task: str
    arguments: dict[str, Any]
    python: str = sys.executable
    script: Path = HERE / "tasks.py"
    timeout: float = TIMEOUT

    def run(self) -> dict[str, Any]:
        """Raises: RuntimeError with what the process said when it fails; subprocess.TimeoutExpired."""
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "FEATURESTORE_OFFLINE__THREADS": "2",
                       "FEATURESTORE_PROFILES__BUILDS": "false"}  # fmt: skip
        done = subprocess.run(
            [self.python, str(self.script), self.task, json.dumps(self.arguments)],
            capture_output=True, text=True, timeout=self.timeout, env=environment,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{self.task} failed:\n{done.stderr.strip()[-2000:]}")
        return json.loads(done.stdout.strip().splitlines()[-1])


def alternate(contenders: dict[str, Contender], found: dict[str, Measured], runs: int) -> None:
    """Run each contender `runs` times more, in alternating order, into `found`."""
    for number in range(runs):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            found[name].runs.append(contenders[name].run())


def seconds(measured: Measured) -> str:
    return f"{measured.seconds:.2f} s, {measured.peak_mb / 1000:.2f} GB"
