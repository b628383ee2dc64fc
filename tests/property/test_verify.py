"""`verify` finds nothing in stores that are right, whatever their sources and definitions are, and what was put wrong.

The worlds are those of `test_online`, where every answer equals the oracle's: here they must equal training sets built over
the files that their generation names, also while newer files lie beside them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from featurestore.online.generations import generations
from featurestore.testing.strategies import KINDS
from tests.property.daily import daily
from tests.property.test_online import Project, make_project

CASES = 40


@pytest.mark.parametrize("kind", daily(KINDS, "created", "versions_deleted", "static"))
def test_online_answers_of_generated_worlds_are_verified(kind: str, tmp_path: Path) -> None:
    project = make_project(Random(f"verify {kind}"), kind, tmp_path, cases=CASES, on_disk=kind == "versions")
    met: Counter[str] = Counter()
    project.deliver(0)
    for lot, watermark in enumerate(project.watermarks):
        project.materialize(watermark)
        if lot + 1 < len(project.watermarks):
            project.deliver(lot + 1)  # files that came after S are no part of it
        found = project.store.verify(sample=400, seed=lot)
        assert found.unverifiable == {}
        assert found.different == 0, [d for view in found.views for d in view.examples]
        met.update(found.cells)
        met["scratch"] += sum(view.scratch["equal"] for view in found.views)
    assert met["equal"] > 600
    assert met["scratch"] > 200 or kind == "static"
    assert caught(project)


def caught(project: Project) -> bool:
    """Give every other key the record of the key before it, and verify."""
    with project.store.online.read() as snapshot:
        [made] = generations(snapshot)
        rows = list(snapshot.scan(made.table))
    wrong = [(key, record) for (key, _), (_, record) in zip(rows[1::2], rows[::2], strict=False)]
    project.store.online.write(lambda batch: batch.put(made.table, wrong))
    found = project.store.verify(sample=400)
    return found.cells["different"] > 0 and not found.ok
