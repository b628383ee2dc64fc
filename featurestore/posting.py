"""JSON sent to somebody else's address: no redirection is followed, for it would carry the token elsewhere, and what is said
of a failure holds neither the address nor the token."""

from __future__ import annotations

from functools import cache
from typing import Any


def post(url: str, body: bytes, *, token: str = "", wait: float, headers: dict[str, str] | None = None) -> None:
    """Send one body, and have it taken; `wait`: seconds the receiver may be silent. Raises: OSError, ValueError, HTTPException;
    `reason_of` tells why."""
    from urllib import request

    told = {"Content-Type": "application/json", **(headers or {})}
    if token.strip():  # as it is often read from a file, with the end of its line
        told["Authorization"] = f"Bearer {token.strip()}"
    with _opener()(request.Request(url, body, told, method="POST"), timeout=wait) as answer:
        answer.read(1)


@cache
def _opener() -> Any:
    from urllib import request

    class Here(request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    return request.build_opener(Here()).open


def reason_of(error: Exception) -> str:
    """Why something was not taken, in a few words."""
    from http.client import HTTPException

    status = getattr(error, "code", None)
    if status is not None:
        return f"the receiver said {status}"
    if isinstance(error, ValueError | HTTPException) and not isinstance(error, OSError):
        return f"{type(error).__name__}: not sent, or not answered, as HTTP has it"  # its words may be those of a header
    cause = getattr(error, "reason", error)
    return str(getattr(cause, "strerror", None) or cause or type(error).__name__)


__all__ = ["post", "reason_of"]
