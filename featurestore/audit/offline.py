"""Which offline truth belongs to a generation: the registry's definition over the files of S, if both are still the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from featurestore.audit.truth import ViewTruth
from featurestore.definitions import OnDemandInstance, ViewInstance
from featurestore.engines.duckdb import Settings
from featurestore.errors import DefinitionError, SourceError
from featurestore.intervals import FOREVER
from featurestore.online.generations import Generation
from featurestore.online.pushes import Mark
from featurestore.plan import training_set
from featurestore.plan.nodes import OnDemand
from featurestore.registry import BoundView, Registry, bind_service, bind_view
from featurestore.sources import IdentityCache, reopen_source, up_to

_UNKNOWN = "the registry does not define the view"
_OTHER = "the store answers by another definition of the view than the registry's"


@dataclass(frozen=True)
class Offline:
    """What the offline side needs: definitions, where their files and push logs lie, and what the engine may use."""

    registry: Registry
    root: Path
    settings: Settings
    identities: IdentityCache
    push_folder: Callable[[str], Path | None]

    def truth(self, made: Generation, pushed: Mark | None = None) -> ViewTruth:
        """F as the generation has it, and with what was pushed to it since, if anything was: up to where in the log.

        Raises: SourceError FS335; DefinitionError where the registry's view is another.
        """
        view = self.registry.views.get(made.name)
        if view is None:
            raise DefinitionError("FS203", _UNKNOWN)
        state = made.state if pushed is None else up_to(made.state, view.source.name, pushed.log, pushed.position)
        data = reopen_source(view.source, state, self.root, self.identities, self.push_folder(view.source.name))
        bound = bind_view(view, data.types)
        if bound.fingerprint != made.fingerprint:
            raise DefinitionError("FS203", _OTHER, hint="featurestore materialize")
        if pushed is None:
            return ViewTruth(bound, data, self.settings, made.watermark)
        return ViewTruth(bound, data, self.settings, FOREVER, files_before=made.watermark)

    def on_demand(self, service: str, views: Mapping[str, BoundView]) -> dict[str, OnDemand]:
        """The on-demand views of a service as the registry has them, those that read other views than these left out."""
        defined = self.registry.services.get(service)
        if defined is None:
            return {}
        kept = [given for given in defined.features if _views_of(given) <= views.keys()]
        if not any(isinstance(given, OnDemandInstance) for given in kept):
            return {}
        bound = bind_service(replace(defined, features=kept, labels=()), views, {})
        return {node.name: node for node in training_set(bound).on_demand}


def _views_of(given: ViewInstance | OnDemandInstance) -> set[str]:
    return {i.view.name for i in given.view.inputs} if isinstance(given, OnDemandInstance) else {given.view.name}


def why_not(asked: Mapping[str, Any], node: OnDemand | None) -> str:
    """Why an on-demand view of the store cannot be verified, or ""."""
    if node is None:
        return "an input is unverifiable, or the registry's service does not have the view"
    same = node.fingerprint == asked["fingerprint"] and [o.name for o in node.outputs] == [f["name"] for f in asked["features"]]
    return "" if same else f"{_OTHER}; try featurestore materialize"


def reason_of(error: SourceError | DefinitionError) -> str:
    """Why a view cannot be verified, in a line: the file first, where there is one."""
    place = f"{error.where}: " if error.code == "FS335" and error.where else ""
    return f"{place}{error.what}" + (f"; try {error.hint}" if error.hint else "")


__all__ = ["Offline", "reason_of", "why_not"]
