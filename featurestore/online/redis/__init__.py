"""The online store in Redis, for several machines. The only package that imports redis.

`layout` says how tables and metas lie in Redis, `links` how connections are made, lost and timed out, `store` how a state
is read and proven, `batch` how one write is staged and switched, `lease` who may materialize, `sweep` how rows nobody
names any more are removed, `errors` how Redis' troubles read in our words.
"""

from featurestore.errors import StoreError

try:
    import redis as _redis
except ImportError as error:
    raise StoreError(
        "FS407", "the Python package 'redis' is not installed", hint="pip install 'featurestore[redis]'"
    ) from error

from featurestore.online.redis.store import RedisStore

del _redis

__all__ = ["RedisStore"]
