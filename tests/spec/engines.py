"""The engines that must pass every spec case: a name, and how to ask it.

A new engine is one function (case, empty folder) -> Answer and one row here. `case.write(folder)` puts the sources
there as Parquet, and `case.service(folder)` is the definition that reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from featurestore.engines.reference import ReferenceEngine
from tests.spec.loader import Answer, Case


def by_reference(case: Case, folder: Path) -> Answer:
    return ReferenceEngine(case.tables).answer(case.service(), case.spine, **case.options)


ENGINES: Mapping[str, Callable[[Case, Path], Answer]] = {"reference": by_reference}
