"""When a server may be sent requests: once every service it is to answer has a generation."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from featurestore.errors import StoreError, UsageError
from featurestore.registry import MANIFEST_FORMAT
from featurestore.server.watched import Watched


class Readiness:
    """Which services are to be answered: those a manifest promises; without one, any will do.

    The file is looked at again every second, so that a deployment may lay a new one there. One that cannot be read leaves
    the services that were read last. Raises: UsageError FS107 if it cannot be read at the start.
    """

    def __init__(self, manifest: Path | None = None) -> None:
        self._manifest = None if manifest is None else Watched(manifest, "manifest", awaited)

    @property
    def awaited(self) -> Sequence[str]:
        return () if self._manifest is None else self._manifest.value

    def check(self, served: Collection[str]) -> None:
        """Raises: StoreError FS510 (503) naming what is missing."""
        missing = [name for name in self.awaited if name not in served]
        if missing:
            what = f"no generation yet of feature service {missing[0]!r}"
            raise StoreError("FS510", what, known=served, hint="featurestore materialize")
        if not served:
            raise StoreError("FS510", "the online store holds no feature service yet", hint="featurestore materialize")

    def check_awaited(self, served: Collection[str], name: str) -> None:
        """Raises: StoreError FS510 for a service that is not there yet, rather than unknown."""
        if not served or name in self.awaited:
            self.check(served)


def awaited(manifest: Path) -> list[str]:
    """The services of a manifest that can be served: those whose views are all kept online.

    Raises: UsageError FS107 for a file that is no manifest, or one of a newer format.
    """
    try:
        given = json.loads(manifest.read_text(encoding="utf-8"))
        services, views = given["services"], given["views"]
        if given["format"] > MANIFEST_FORMAT:
            raise UsageError("FS107", f"manifest of format {given['format']}", where=str(manifest), hint="a newer featurestore")
        return [name for name, service in services.items() if _is_online(service, views)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"is no manifest: {error.strerror if isinstance(error, OSError) else type(error).__name__}"
        hint = "sql/manifest.json, as featurestore compile writes it"
        raise UsageError("FS107", what, where=str(manifest), hint=hint) from None


def _is_online(service: Mapping[str, Any], views: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(views[instance["view"]]["online"] for instance in service["instances"])


__all__ = ["Readiness", "awaited"]
