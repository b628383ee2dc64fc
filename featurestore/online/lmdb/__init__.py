"""The online store inside the project, on LMDB. The only package that imports lmdb.

`store` says how tables and metas lie in LMDB, `environment` how one file is opened, shared, grown and survived,
`header` whether a file is whole before LMDB maps it, `errors` how LMDB's troubles read in our words.
"""

from featurestore.online.lmdb.store import MAP_SIZE, LmdbStore

__all__ = ["LmdbStore", "MAP_SIZE"]
