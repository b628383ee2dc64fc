"""What is known of a column's values without reading them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """A column's values over all rows. nulls: how many are NULL. ends: some whole numbers or instants (in microseconds, naive
    ones read as UTC), between which all values lie. None: nobody says."""

    nulls: int | None
    ends: tuple[int, ...] | None

    @property
    def least(self) -> int:
        return min(self.ends or (0,))

    @property
    def greatest(self) -> int:
        return max(self.ends or (0,))
