"""SQL that judges the rows of a source by what is expected of them."""

from __future__ import annotations

from featurestore.compiler.duckdb.facts import ROWS
from featurestore.compiler.judging import Judging

_JUDGING = Judging(ROWS, lambda value: "'" + value.replace("'", "''") + "'")
judged, first_broken, set_aside = _JUDGING.judged, _JUDGING.first_broken, _JUDGING.set_aside

__all__ = ["first_broken", "judged", "set_aside"]
