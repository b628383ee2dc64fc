"""The online store: bytes under keys, in tables, switched as a whole.

Decides how keys and records become bytes (`codec`), what a store must promise (`store`), and three stores that keep the
promise (`lmdb`, `redis`, `memory`). It knows no definition: which table holds which view, what a value means at an instant and
when a generation is complete are decided above. The stores are not imported here, so that `import featurestore` does
not load lmdb or redis.
"""
