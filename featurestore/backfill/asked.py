"""What a backfill is asked for: regular instants of one view, and how its files are named.

Instants are UTC and a fixed length apart, whatever a wall clock does meanwhile: the first included, the end not.
"""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.errors import UsageError
from featurestore.intervals import Duration, format_instant
from featurestore.retrieval.training_set import INCLUDES

FOLDERS = {"instant": slice(None), "day": slice(10), "month": slice(7)}
"""By what files are laid into folders, and how much of an instant's name is the folder's."""
MOST = 100_000
"""Instants of one run."""


@dataclass(frozen=True)
class Asked:
    """The instants from `start` on, `every` so many microseconds, before `end`. Raises: UsageError FS102, FS385."""

    start: int
    end: int
    every: int
    partition_by: str = "instant"
    include: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.partition_by not in FOLDERS:
            raise UsageError("FS102", f"unknown --partition-by {self.partition_by!r}", known=FOLDERS)
        for name in self.include:
            if name not in INCLUDES:
                raise UsageError("FS102", f"unknown include {name!r}", known=INCLUDES)
        if self.every <= 0:
            raise UsageError("FS385", "--every is 0: instants have a distance", hint="--every 1d")
        if self.start >= self.end:
            what = f"--from {format_instant(self.start)} is not before --to {format_instant(self.end)}: there is no instant"
            raise UsageError("FS385", what, hint="--to is exclusive")
        if self.count > MOST:
            raise UsageError("FS385", f"{self.count:,} instants, at most {MOST:,} in one run", hint="a longer --every")

    @property
    def count(self) -> int:
        return -((self.start - self.end) // self.every)

    @property
    def instants(self) -> range:
        return range(self.start, self.end, self.every)

    def check_past(self, now: int) -> None:
        """Raises: UsageError FS385 for an instant of which not everything can be known yet."""
        last = self.instants[-1]
        if last > now:
            what = f"the last instant, {format_instant(last)}, is in the future: what can be known then is not there yet"
            raise UsageError("FS385", what, hint=f"--to {format_instant(now)}")

    def file(self, at: int) -> str:
        """Where the values of an instant lie below the output folder."""
        name = named(at)
        folder = f"{self.partition_by}={name[FOLDERS[self.partition_by]]}"
        return f"{folder}/part.parquet" if self.partition_by == "instant" else f"{folder}/{name}.parquet"

    @property
    def length(self) -> str:
        return str(Duration(self.every))


def named(at: int) -> str:
    """An instant in names of files: "2026-01-01T06-00-00Z", with six digits more where it is no whole second. No colon, which
    some file systems and readers of tables do not take."""
    text = format_instant(at).replace(":", "-")
    return text.replace(".000000Z", "Z")
