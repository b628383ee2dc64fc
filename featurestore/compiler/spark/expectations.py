"""Spark SQL that judges the rows of a source by what is expected of them."""

from __future__ import annotations

from featurestore.compiler.judging import Judging
from featurestore.compiler.spark.facts import ROWS
from featurestore.compiler.spark.scalars import text

_JUDGING = Judging(ROWS, text)
judged, first_broken, set_aside = _JUDGING.judged, _JUDGING.first_broken, _JUDGING.set_aside

__all__ = ["first_broken", "judged", "set_aside"]
