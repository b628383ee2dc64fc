"""`featurestore should-retrain`: is it time to train anew, as a policy says?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer, CheckFailed
from featurestore.cli.command import Run
from featurestore.errors import DataError, FeatureStoreError

if TYPE_CHECKING:
    from featurestore.monitoring.retrain import Decision


def should_retrain(
    run: Run,
    policy: Annotated[Path, typer.Option("--policy", metavar="FILE", help="TOML with [[rule]]: kind, threshold, window.")],
    training_set: Annotated[
        Path | None, typer.Option("--training-set", metavar="FILE", help="What was trained on. Default: as the policy says.")
    ] = None,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose results count. Default: the policy's, else the training set's.")
    ] = None,
    current: Annotated[
        str | None, typer.Option(metavar="FILE", help="Compare with this for drift, as `drift` does. Default: results kept.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TS", help="Judge by what was known before this instant. Default: now.")
    ] = None,
) -> Answer:
    """Say whether a model is to be trained anew: by its age, by new rows, by drift or by how well it does.

    Exit 0: nothing to do; 1: retrain; 2: the policy, a name or an option is typed wrong; 4: the training set, the policy's file
    or all that its rules look at is missing, so that no rule could be judged. Reads only.

    Example:
      featurestore should-retrain --policy retrain.toml --training-set train.parquet --json
    """
    decided = run.store.should_retrain(policy, training_set=training_set, service=service, current=current, now=as_of)
    for outcome in decided.rules:
        if not outcome.judged:
            run.warn(f"rule {outcome.rule.kind} cannot be judged: {outcome.why}")
    return Answer({**decided.to_dict(), "warnings": run.warnings}, _text(decided), _errors(decided))


def _errors(decided: Decision) -> list[FeatureStoreError]:
    if not decided.judged:
        why = "; ".join(dict.fromkeys(outcome.why for outcome in decided.rules))
        return [DataError("FS492", f"no rule could be judged: {why}", hint="--training-set FILE, or featurestore monitor")]
    if decided.retrain:
        return [CheckFailed("FS169", f"retrain: {'; '.join(o.why for o in decided.rules if o.fired)}")]
    return []


def _text(decided: Decision) -> str:
    rows = [(o.rule.kind, "fires" if o.fired else "holds" if o.judged else "unknown", o.why) for o in decided.rules]
    verdict = "retrain" if decided.retrain else "nothing to do" if decided.judged else "no answer"
    return f"{show.table(('rule', '', 'why'), rows)}\n{verdict} ({decided.combine} of {len(rows)} rules)"
