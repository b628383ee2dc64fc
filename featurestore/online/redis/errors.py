"""What goes wrong with Redis, in our words. Whatever a write met, it has changed nothing, unless the error says otherwise."""

from __future__ import annotations

from redis import exceptions as said

from featurestore.errors import StoreError, StoreUnavailable

LOST = (said.ConnectionError, said.TimeoutError)
"""No answer: the server is down, slow, still loading, or the connection broke. (redis-py gives no bare OSError.)"""
LATE = said.TimeoutError
"""No answer within the time given to it."""
REFUSED = said.ResponseError
"""The server answers, and says no."""
FAILED = said.RedisError

UNCHANGED = "the online store is as it was before"


def unavailable(error: BaseException, where: str) -> StoreUnavailable:
    return StoreUnavailable(
        "FS412", f"Redis does not answer: {str(error) or type(error).__name__}", where=where, hint="again later"
    )


def resting(where: str) -> StoreUnavailable:
    return StoreUnavailable("FS412", "Redis did not answer a moment ago", where=where, hint="again later")


def restless(where: str) -> StoreUnavailable:
    return StoreUnavailable("FS412", "the online store is being written to all the time", where=where, hint="again later")


def incomplete(where: str) -> StoreError:
    hint = "no other program to delete them, and featurestore materialize --full"
    return StoreError("FS403", "rows of the online store have gone from Redis", where=where, hint=hint)


def empty(where: str) -> StoreUnavailable:
    """For a store that was there: Redis came back without it, which is not the same as knowing nobody."""
    what = "the online store in Redis is gone: it was restarted empty, or emptied"
    return StoreUnavailable("FS412", what, where=where, hint="featurestore materialize")


def absent(where: str) -> StoreError:
    return StoreError("FS402", "there is no online store yet", where=where, hint="featurestore materialize")


def evicting(policy: str, where: str) -> StoreUnavailable:
    """A server that may drop rows by itself: what it dropped would look as if it had never been."""
    what = f"Redis may evict rows at any time (maxmemory-policy {policy}); they would look absent"
    return StoreUnavailable("FS412", what, where=where, hint="maxmemory-policy noeviction")


def no_memory(where: str) -> StoreError:
    return StoreError("FS405", f"Redis is out of memory; {UNCHANGED}", where=where, hint="a higher maxmemory")


def translate(error: BaseException, where: str) -> StoreError:
    """The StoreError that a failure of Redis means."""
    if isinstance(error, said.OutOfMemoryError):
        return no_memory(where)
    if isinstance(error, LOST) and not isinstance(error, said.AuthenticationError):
        return unavailable(error, where)
    if isinstance(error, said.MasterDownError | said.ClusterDownError | said.TryAgainError):
        return unavailable(error, where)
    return StoreError("FS407", f"Redis refuses: {error}", where=where)
