"""What pages know of the online store and its catalogue, read when it has changed and narrowed to who asks."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featurestore.catalogue import Catalogue, Raw, of_manifest, of_store, raw_of, read
from featurestore.errors import StoreError
from featurestore.online.generations import EPOCH
from featurestore.online.store import Moved, OnlineStore, Snapshot
from featurestore.registry import MANIFEST_FORMAT
from featurestore.retrieval.online_features import MOVES
from featurestore.server.keys import Key
from featurestore.server.page.live import Documents, Live

log = logging.getLogger(__name__)

MOST_NARROWED = 64
"""Keys' views of one state that are kept."""
_NOTHING = Documents({}, {}, {})

Seen = tuple[Catalogue, Live, str]
"""Catalogue, live state, and what is wrong with the store, "" if nothing is."""


class Known:
    """`look` is called where look-ups are answered; `seen_by` by one other thread, which does the work."""

    def __init__(self, store: OnlineStore, manifest: Path | None = None) -> None:
        self._store, self._manifest = store, manifest
        self._epoch: bytes | None = None
        self._found: tuple[Documents, Raw | None, str] = (_NOTHING, None, "")
        self._understood: tuple[Documents, Raw | None, Catalogue | None, Live] | None = None
        self._narrowed: dict[tuple[str, ...], tuple[Catalogue, Live]] = {}

    def look(self) -> None:
        """Read what the store says of itself, if that is not what it said before."""
        try:
            for _ in range(MOVES):
                try:
                    with self._store.read() as snapshot:
                        self._found = self._read(snapshot)
                    return
                except Moved:
                    continue
        except StoreError as error:
            documents, raw, _ = self._found
            self._epoch = None
            self._found = documents, raw, _TROUBLES.get(error.code, "The online store cannot be asked now.")

    def _read(self, snapshot: Snapshot) -> tuple[Documents, Raw | None, str]:
        documents, raw, _ = self._found
        raw, epoch = raw_of(snapshot, raw), snapshot.meta(EPOCH)
        if epoch is None or epoch != self._epoch:
            self._epoch, read = epoch, Documents.of(snapshot)
            documents = documents if read == documents else read
        return documents, raw, "" if documents.services or documents.views else _EMPTY

    def nothing(self) -> Seen:
        return Catalogue(()), Live({}, {}, {}), ""

    def seen_by(self, key: Key) -> Seen:
        """What may be shown to who asks."""
        documents, raw, trouble = self._found
        whole = self._understood
        if whole is None or whole[0] is not documents or whole[1] is not raw:
            whole = self._understood = documents, raw, self._catalogue(raw), documents.read()
            self._narrowed = {}
        seen = self._narrowed.get(key.services)
        if seen is None:
            if len(self._narrowed) >= MOST_NARROWED:
                self._narrowed = {}
            seen = self._narrowed[key.services] = self._seen(key, whole[2], whole[3])
        return *seen, trouble

    def _catalogue(self, raw: Raw | None) -> Catalogue | None:
        if raw is not None:
            try:
                return read(raw)
            except (ValueError, KeyError, TypeError) as error:
                log.error("the catalogue in the online store cannot be read: %s", error)
        given = None if self._manifest is None else _manifest(self._manifest)
        return None if given is None else of_manifest(given)

    def _seen(self, key: Key, catalogue: Catalogue | None, live: Live) -> tuple[Catalogue, Live]:
        if key.services:
            views = {i["view"] for s in live.services.values() if key.may_see(s.name) for i in s.definition["instances"]}
            live = live.seen_by(key.may_see, views)
        if catalogue is None:
            catalogue = of_store(
                {service.name: service.definition for service in live.services.values()},
                ((name, made[0].view) for name, made in live.generations.items()),
            )
        if key.services:
            catalogue = catalogue.seen_by(key.may_see)
        return catalogue, live


_EMPTY = "The online store holds no feature service yet: featurestore materialize fills it."
_TROUBLES: Mapping[str, str] = {"FS402": _EMPTY}


def _manifest(path: Path) -> Mapping[str, Any] | None:
    """The manifest, if it can be read; `Readiness` has said at the start what is wrong with one that cannot."""
    try:
        given: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return given if given["format"] <= MANIFEST_FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


__all__ = ["Known", "Seen"]
