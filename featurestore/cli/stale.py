"""Whether sql/ says what the definitions say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featurestore.cli.command import Run
    from featurestore.store import FeatureStore


def is_stale(store: FeatureStore) -> bool:
    """sql/ differs from what `compile` would write."""
    from featurestore.compiler.files import compiled, difference

    return bool(difference(store.sql_folder, compiled(store.bound)))


def warn_if_stale(run: Run) -> None:
    """One line on stderr if it is: what ran is what the definitions say, what was reviewed is not."""
    if is_stale(run.store):
        folder = run.store.config.project.sql
        run.warn(f"{folder}/ is stale: featurestore compile")
