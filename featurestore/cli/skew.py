"""What a replay of the serve log found, for people; `verify --log` and `monitor` tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from featurestore.cli import show
from featurestore.cli.answer import CheckFailed, json_text
from featurestore.errors import FeatureStoreError

if TYPE_CHECKING:
    from featurestore.monitoring.skew import FeatureSkew, ServiceSkew, Skew

SHOWN = 2
"""Differing cells of each cause that are printed; --json has more."""


def errors(found: Skew) -> list[FeatureStoreError]:
    """What the exit code is made of."""
    if found.above:
        named = ", ".join(f"{service}: {', '.join(features)}" for service, features in found.above.items())
        what = f"{found.mismatched:,} of {found.compared:,} served cells differ from the offline truth: {named}"
        return [CheckFailed("FS164", what, hint="featurestore verify")]
    if not found.ok:
        why = "; ".join(f"{name}: {reason}" for name, reason in found.reasons.items()) or "there is no serve log"
        return [
            CheckFailed(
                "FS165", f"no served cell could be compared: {why}", hint="[serve_log] on = true, and serve; or another --since"
            )
        ]
    return []


def text(found: Skew) -> str:
    return "\n\n".join(_service(name, service) for name, service in found.services.items()) or "no service was logged"


def cells(found: FeatureSkew) -> dict[str, int]:
    """Cells by what became of them, as `verify` calls it."""
    return {
        "equal": found.compared - found.mismatched,
        "different": found.mismatched,
        "stale": found.stale,
        "unavailable": found.unavailable,
        "unverifiable": found.unverifiable.total(),
    }


def _service(name: str, service: ServiceSkew) -> str:
    if service.reason:
        return f"{name}: {service.reason}"
    told = {feature: cells(one) for feature, one in service.features.items()}
    header = ("feature", *next(iter(told.values()), {}))
    rows = [(feature, *counted.values()) for feature, counted in told.items()]
    dates = service.to_dict()
    parts = [f"{name}: {service.rows:,} logged rows, {dates['first']} to {dates['last']}; cells:"]
    parts.append(show.table(header, rows, indent="  "))
    for feature, found in service.features.items():
        if found.causes:
            differs = show.share(found.mismatched, found.compared)
            parts.append(f"\n{feature}, {differs} differs, by cause: {show.counts(found.causes, plain=True)}")
        for cause in found.causes:
            parts += [_example(one) for one in [e for e in found.examples if e["cause"] == cause][:SHOWN]]
    return "\n".join(parts)


def _example(example: dict[str, Any]) -> str:
    named = ", ".join(f"{k}={_shown(v)}" for k, v in (*example["keys"].items(), *example["request"].items()))
    sides = [f"    {side:<8} {_cell(example[side])}" for side in ("served", "truth")]
    return "\n".join([f"  {named or 'the one row'} at {example['t']}", *sides, f"    cause    {example['cause']}"])


def _cell(cell: dict[str, Any] | None) -> str:
    return "nothing" if cell is None else f"{_shown(cell['value'])} ({cell['status']})"


def _shown(value: Any) -> str:
    return show.cell(None) if value is None else json_text(value).strip('"') if isinstance(value, str) else json_text(value)
