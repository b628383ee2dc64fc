"""What people may want to know of a project's definitions, as data: written by a run, kept in the online store, shown by pages.

A catalogue knows words, types, SQL and plans; it never bears on a value. Who reads it needs neither registry nor sources, nor
what `making` needs, which writes it.
"""

from featurestore.catalogue.entries import KINDS, ON_DEMAND, Catalogue, Entry
from featurestore.catalogue.kept import Raw, keep, raw_of, read
from featurestore.catalogue.known import of_manifest, of_store

__all__ = [
    "KINDS", "ON_DEMAND", "Catalogue", "Entry", "Raw", "keep", "of_manifest", "of_store", "raw_of", "read",
]  # fmt: skip
