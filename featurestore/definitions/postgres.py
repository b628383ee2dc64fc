"""A table, view or query of PostgreSQL as a source: which one, and how its database is named without a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from featurestore.definitions.source import Source
from featurestore.errors import DefinitionError

FROM_ENVIRONMENT = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_SCHEMES = ("postgresql://", "postgres://")
_PLAIN = (
    "host", "hostaddr", "port", "user", "dbname", "service", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey",
    "sslcrl", "sslnegotiation", "channel_binding", "gssencmode", "krbsrvname", "target_session_attrs", "load_balance_hosts",
    "connect_timeout", "tcp_user_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
    "application_name", "options",
)  # fmt: skip
"""What a url may say of a connection: no secret among it."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(:[0-9]+)?")
_LONGEST = 63
"""Bytes of an identifier: what is longer PostgreSQL cuts, and would name another."""


@dataclass(frozen=True, kw_only=True, repr=False)
class PostgresSource(Source):
    """Rows of a PostgreSQL database, read in one snapshot for the whole of a build. See `Source` for the other options.

    Args:
        table: a table, view or materialized view, named exactly as the database has it: "payments", "public.payments", or
            ("a.schema", "a table").
        query: in place of a table one SELECT, without a semicolon. It must give the same rows each time it is asked within one
            transaction: no random().
        url: "postgresql://user@host:port/database", without a password; or "$NAME", an environment variable that holds
            a url (with a password, if need be); or "": as libpq's environment says. Passwords come from PGPASSWORD, a
            password file or a service file.
    Raises: DefinitionError FS202 (also of a password in url), FS204, and what `Source` raises.
    """

    table: Any = None
    query: str | None = None
    url: str = ""

    def _check(self) -> None:
        if (self.table is None) == (self.query is None):
            raise DefinitionError("FS204", "give either table= or query=", hint='table="public.payments"')
        if self.table is not None:
            self._set("table", _parts(self.table))
        elif not isinstance(self.query, str) or not self.query.strip() or self.query.rstrip().endswith(";"):
            raise DefinitionError("FS202", "query= is not one SELECT without a semicolon", hint='query="SELECT … FROM …"')
        _check_url(self.url)
        super()._check()

    @property
    def place_there(self) -> str:
        """What is read, as people say it."""
        return "the query" if self.table is None else ".".join(self.table)


def _parts(table: object) -> tuple[str, ...]:
    """The identifiers of a table, as the database has them. Raises: DefinitionError FS202."""
    parts = tuple(table.split(".")) if isinstance(table, str) else tuple(table) if isinstance(table, list | tuple) else ()
    if len(parts) not in (1, 2) or not all(isinstance(p, str) and _is_identifier(p) for p in parts):
        hint = '"public.payments", or ("schema", "table") for names with a dot'
        raise DefinitionError("FS202", f"table={table!r} names no table", hint=hint)
    return parts


def _is_identifier(name: str) -> bool:
    return 0 < len(name.encode()) <= _LONGEST and name.isprintable() and '"' not in name


def _check_url(url: str) -> None:
    """Raises: DefinitionError FS202, without a word of the url: a mistyped one may hold a secret anywhere."""
    if not url or FROM_ENVIRONMENT.fullmatch(url):
        return
    hint = '"postgresql://user@host:5432/database", "$PAYMENTS_URL" or ""'
    if not url.startswith(_SCHEMES):
        raise DefinitionError("FS202", "url= is neither a postgresql:// url nor an environment variable", hint=hint)
    try:
        split = urlsplit(url)
        said = dict(parse_qsl(split.query, keep_blank_values=True, strict_parsing=bool(split.query)))
    except ValueError:
        raise DefinitionError("FS202", "url= cannot be read as a url", hint=hint) from None
    user, _, hosts = split.netloc.rpartition("@")
    if ":" in unquote(user) or any("pass" in name.lower() and name != "passfile" for name in said):
        elsewhere = 'PGPASSWORD, a password file, or url="$NAME" of an environment variable that holds the url'
        raise DefinitionError("FS202", "url= holds a password", hint=elsewhere)
    if split.fragment or "@" in user + split.path + split.query or not all(map(_HOST.fullmatch, hosts.split(","))):
        raise DefinitionError("FS202", "url= cannot be read as a url", hint=hint)
    if any(name not in _PLAIN for name in said):
        raise DefinitionError("FS202", "url= says what is no setting of a connection", known=_PLAIN, hint=hint)
