"""Where a database is, and what of that nobody may read: the url comes from the definition or from the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from featurestore.definitions.postgres import FROM_ENVIRONMENT
from featurestore.errors import StoreError

_UNLESS_SAID = {
    "connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3",
    "fallback_application_name": "featurestore",
}  # fmt: skip
"""So that a database which is gone is noticed."""
_IN_ENVIRONMENT = {"connect_timeout": "PGCONNECT_TIMEOUT"}
_SECRET = re.compile(r"(?i)\b\w*(?:password|secret|token)\w*\s*=\s*('(?:[^'\\]|\\.)*'|\S+)")
_HIDDEN = "***"


@dataclass(frozen=True)
class Address:
    """What libpq is told. It never says itself in full: it may hold a password."""

    conninfo: str = field(repr=False)

    def scrubbed(self, text: str) -> str:
        """The text without any secret this address or the environment holds, however it is written."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text

    def _secrets(self) -> set[str]:
        said = [value.strip("'") for value in _SECRET.findall(self.conninfo)]
        said += [os.environ.get(name, "") for name in ("PGPASSWORD", "PGSSLPASSWORD")]
        if "://" in self.conninfo:
            said += _in_url(self.conninfo)
        return {one for secret in said for one in (secret, unquote(secret)) if one}


def _in_url(url: str) -> list[str]:
    """What may be a password in a url, one that cannot be read included."""
    authority = url.split("://", 1)[1]
    user = authority.rpartition("@")[0]
    queried = url.partition("?")[2]
    named = [value for name, value in parse_qsl(queried) if "pass" in name.lower() or "secret" in name.lower()]
    return [user.partition(":")[2], *named]


def address(url: str, where: str = "") -> Address:
    """The address that a definition's url means now. where: the definition is.

    Raises: StoreError FS476 for an environment variable that is not set.
    """
    named = FROM_ENVIRONMENT.fullmatch(url)
    conninfo = os.environ.get(named[1], "") if named else url or "postgresql://"
    if not conninfo:
        what = f"the environment variable {url[1:]} is not set: it is to hold the url of the database"
        raise StoreError("FS476", what, where=where, hint=f"export {url[1:]}=postgresql://user:…@host:5432/database")
    return Address(_with_defaults(conninfo))


def _with_defaults(conninfo: str) -> str:
    said = {name for name in _UNLESS_SAID if re.search(rf"\b{name}\s*=", conninfo)}
    said |= {name for name, variable in _IN_ENVIRONMENT.items() if os.environ.get(variable)}
    defaults = [f"{name}={value}" for name, value in _UNLESS_SAID.items() if name not in said]
    if "://" not in conninfo:
        return " ".join([conninfo, *defaults])
    return conninfo + ("&" if "?" in conninfo else "?") + "&".join(defaults)
