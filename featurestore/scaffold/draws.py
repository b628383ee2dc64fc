"""Decide how chance is drawn: every value is a pure function of (seed, salt, row number), in 64-bit integer arithmetic.

So the generated data are the same bytes on every machine, in any order of evaluation and with any chunk size; no state
is carried from row to row, and a table of any length can be made piece by piece. What is drawn is `tables`' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

_STEP = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_WORD = 2**64


def word(value: int) -> pl.Expr:
    """A 64-bit constant. Polars wraps on overflow, which is exactly what mixing wants."""
    return pl.lit(value % _WORD, dtype=pl.UInt64)


def _scramble(value: int) -> int:
    """The 64-bit finaliser in plain Python, for salts."""
    value = (value + _STEP) % _WORD
    value = ((value ^ (value >> 30)) * _FIRST) % _WORD
    value = ((value ^ (value >> 27)) * _SECOND) % _WORD
    return value ^ (value >> 31)


def _salt(seed: int, text: str) -> int:
    """A constant per (seed, purpose). Not hash(): that differs from process to process."""
    state = _scramble(seed)
    for byte in text.encode():
        state = _scramble(state ^ byte)
    return state


@dataclass(frozen=True, slots=True)
class Draws:
    """Random-looking expressions over a column of row numbers.

    Two purposes give unrelated values for one row; one purpose gives one value per row, however often it is asked.
    """

    seed: int

    def bits(self, row: pl.Expr, purpose: str) -> pl.Expr:
        """32 well-mixed bits per row, as UInt64. A right shift is spelled as a division: Polars has no shift."""
        mixed = (row ^ word(_salt(self.seed, purpose))) * word(_FIRST)
        mixed = (mixed ^ (mixed // word(2**32))) * word(_SECOND)
        return (mixed ^ (mixed // word(2**29))) * word(_STEP) // word(2**32)

    def below(self, row: pl.Expr, purpose: str, limit: int) -> pl.Expr:
        """A whole number in [0, limit), as UInt64; limit at most 2**32."""
        return self.bits(row, purpose) * word(limit) // word(2**32)

    def one_in(self, row: pl.Expr, purpose: str, n: int) -> pl.Expr:
        """TRUE for about every n-th row."""
        return self.below(row, purpose, n) == word(0)

    def unit(self, row: pl.Expr, purpose: str) -> pl.Expr:
        """A double in [0, 1), a multiple of 2**-32: products of these are the same on every machine."""
        return self.bits(row, purpose).cast(pl.Float64) * 2.0**-32

    def micros(self, row: pl.Expr, purpose: str, least: int, most: int) -> pl.Expr:
        """A whole number of microseconds in [least, most), as Int64: spread evenly, in 2**32 steps."""
        return (self.unit(row, purpose) * float(most - least)).floor().cast(pl.Int64) + least

    def choice(self, row: pl.Expr, purpose: str, options: Sequence[str | None]) -> pl.Expr:
        """One of the options, each as likely; repeat one to make it likelier, list None for NULL."""
        return look_up(self.below(row, purpose, len(options)), options)


def look_up(position: pl.Expr, options: Sequence[str | None]) -> pl.Expr:
    """The option at a position in [0, len(options)), as text."""
    values = pl.Series("options", list(options), dtype=pl.String)
    return pl.lit(values).gather(position.cast(pl.UInt32))
