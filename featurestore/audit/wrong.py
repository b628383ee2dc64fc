"""The wrong cells of a feature, and what is known of their causes. Cells are masks over its wrong rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.columns import Compared
from featurestore.audit.reask import Timed
from featurestore.audit.whys import Why
from featurestore.plan.nodes import Latest


@dataclass(frozen=True)
class Settled:
    """Cells of a feature (a mask) that have one cause and explanation. instants: at which F gives the values found, in
    microseconds per cell; None where that is as_of, or no one instant."""

    cells: pa.Array
    cause: str
    why: str
    instants: pa.Array | None = None


@dataclass
class Wrong:
    """The wrong cells of one feature. rows: in the file, ascending. open: cells without a cause yet. events: of latest values
    the event time of the fact that the truth comes from, in microseconds, NULL without one. settled: the causes found. leaking:
    whether the explanation of most cells is a leak; None as long as there is none. known: cells that explanations of
    another kind than F explain."""

    feature: str
    how: Compared
    rows: pa.Array
    found: pa.Array
    truth: pa.Array
    settled: list[Settled] = field(default_factory=list)
    leaking: bool | None = None
    known: dict[Why, pa.Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.open = pa.repeat(pa.scalar(True), len(self.rows))
        self.events = pa.nulls(len(self.rows), pa.int64())

    def settle(self, cells: pa.Array, cause: str, why: str, instants: pa.Array | None = None) -> None:
        mine = pc.and_(cells, self.open)
        if count(mine):
            self.settled.append(Settled(mine, cause, why, instants))
            self.open = pc.and_(self.open, pc.invert(mine))

    def empty(self) -> pa.Array:
        """NULL, and of counts 0, of lists and maps none: what nearly every question may give."""
        nothing = self.found.is_null(nan_is_null=pa.types.is_floating(self.found.type))
        if self.how.aggregate in ("count", "count_distinct"):
            nothing = pc.or_(nothing, pc.fill_null(pc.equal(self.found, 0), False))
        if self.how.dtype.is_list or self.how.dtype.is_map:
            nothing = pa.array([not value for value in self.found.to_pylist()], pa.bool_())
        return nothing

    def some_open(self, most: int) -> pa.Array:
        """The numbers of the first open cells."""
        return pc.indices_nonzero(self.open).cast(pa.int64()).slice(0, most)

    def at(self, cells: pa.Array, holds: pa.Array) -> pa.Array:
        """A mask over all cells from one over some of them, by their numbers."""
        chosen = cells.filter(pc.fill_null(holds, False))
        return pc.is_in(pa.arange(0, len(self.rows)), chosen)


def count(mask: pa.Array) -> int:
    return pc.sum(mask, min_count=0).as_py() or 0


@dataclass(frozen=True)
class Group:
    """Features that one view computes, or one on-demand view. views: of each view they read, its parts with a history.
    inputs: the names of the views that an on-demand view reads, if there are several."""

    name: str
    wrong: Sequence[Wrong]
    views: Sequence[Sequence[Timed]]
    inputs: Sequence[str] = ()

    @property
    def latest(self) -> Iterator[tuple[Latest, Wrong]]:
        """Each latest feature, with its part."""
        for wrong in self.wrong:
            for part in (part for parts in self.views for part in parts):
                if isinstance(part, Latest) and any(o.name == wrong.feature for o in part.outputs):
                    yield part, wrong


def open_rows(wrongs: Sequence[Wrong]) -> pa.Array:
    """The rows in which one of the features has a cell without a cause, ascending."""
    rows = pa.chunked_array([wrong.rows.filter(wrong.open) for wrong in wrongs], pa.int64())
    found = pc.unique(rows)
    return found.take(pc.sort_indices(found))


__all__ = ["Group", "Settled", "Wrong", "count", "open_rows"]
