"""`featurestore keys`: make, list and revoke the API keys of the server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli import show
from featurestore.cli.answer import Answer
from featurestore.cli.command import Run
from featurestore.errors import FeatureStoreError, UsageError, nearest

if TYPE_CHECKING:
    from featurestore.server.keys import Key

FILE = "keys.toml"
"""Where keys are kept in a project that has not said where."""
ACTIONS = ("add", "list", "revoke")


def keys(
    run: Run,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="add, list or revoke.")],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Whose key it is; revoke also takes the id of one key.")
    ] = None,
    service: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="add: a feature service it may ask for; repeat. Default: all.")
    ] = None,
    scope: Annotated[str, typer.Option(metavar="SCOPE", help="add: lookup, push, or lookup,push.")] = "lookup",
) -> Answer:
    """Make, list and revoke the API keys of the server.

    `add` prints the secret, once; the file that [server] api_keys names holds only its digest, as a secret of 256 random bits
    needs no slower hash. A name may have two keys at a time: add the second, change the client over, revoke the first by id.
    A running server takes notice within a second.

    Example:
      featurestore keys add scorer --service fraud_v1
    """
    path = _file(run)
    if action == "list" and name is None:
        return _list(path)
    if action not in ACTIONS:
        raise UsageError("FS100", f"unknown action {action!r}", known=ACTIONS, hint=nearest(action, ACTIONS))
    if name is None or action == "list":
        what = "keys list takes no name" if name else f"keys {action} needs a NAME"
        raise UsageError("FS100", what, hint="featurestore keys --help")
    if action == "revoke":
        return _revoke(path, name)
    return _add(run, path, name, service or [], [s.strip() for s in scope.split(",")])


def _file(run: Run) -> Path:
    store = run.store
    assert store.root is not None
    return store.root / (store.config.server.api_keys or FILE)


def _add(run: Run, path: Path, name: str, services: list[str], scopes: list[str]) -> Answer:
    from featurestore.server import keys

    secret, made = keys.add(path, name, scopes=scopes, services=services)
    _warn(run, path, services)
    if not run.quiet:
        print(f"key {made.id} of {name}: this is the only time its secret is shown", file=sys.stderr)
    return Answer({**_told(made), "secret": secret, "file": path.name, "warnings": run.warnings}, secret)


def _warn(run: Run, path: Path, services: list[str]) -> None:
    if run.store.config.server.api_keys is None:
        run.warn(f'the server asks for no keys until featurestore.toml says [server] api_keys = "{path.name}"')
    try:
        known = run.store.registry.services
    except FeatureStoreError:  # keys may be made where there are no definitions
        return
    for service in services:
        if known and service not in known:
            run.warn(f"no definition of a feature service {service!r} here; known: {', '.join(known)}")


def _list(path: Path) -> Answer:
    from featurestore.server import keys

    told = [_told(key) for key in keys.read(path)]
    header = ("name", "id", "scopes", "services", "created")
    rows = [(k["name"], k["id"], ",".join(k["scopes"]), ",".join(k["services"]) or "all", k["created"]) for k in told]
    return Answer({"keys": told}, show.table(header, rows) if rows else "no API keys")


def _revoke(path: Path, which: str) -> Answer:
    from featurestore.server import keys

    gone = keys.revoke(path, which)
    return Answer({"revoked": _told(gone)}, f"revoked key {gone.id} of {gone.name}")


def _told(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "id": key.id,
        "scopes": list(key.scopes),
        "services": list(key.services),
        "created": key.created,
    }
