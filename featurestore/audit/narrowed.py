"""A service with only some of its features, without its labels: what is asked when not all of it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from featurestore.definitions import OnDemandInstance, ViewInstance
from featurestore.registry import BoundService, bind_service

Given = ViewInstance | OnDemandInstance


def narrowed(service: BoundService, features: Sequence[Given]) -> BoundService:
    """The service with these of its features."""
    views = {i.bound.name: i.bound for i in service.instances}
    return bind_service(replace(service.service, features=[_narrow(given) for given in features], labels=()), views, {})


def read_by(given: Given) -> list[ViewInstance]:
    """The views a feature is made of: itself, or the inputs that an on-demand view reads something of."""
    if isinstance(given, ViewInstance):
        return [given]
    return [i for i in given.view.inputs if {column for column, _ in i.features} & set(given.reads)]


def _narrow(given: Given) -> Given:
    """An on-demand view without the inputs it does not read: the service computes nothing of them."""
    if isinstance(given, ViewInstance):
        return given
    chosen = {name: given.view.features[name] for _, name in given.features}
    return replace(given, view=replace(given.view, inputs=read_by(given), features=chosen))


__all__ = ["narrowed", "read_by"]
