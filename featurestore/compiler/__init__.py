"""From plan to SQL. This package alone writes SQL: one sub-package per dialect, differences as data.

Scalar expressions and identifiers go through sqlglot's AST; the relational skeleton is written by hand, because a
reviewer reads it and because sqlglot's optimizer would swap as-of operands and dissolve the names of the steps.
"""

from featurestore.compiler.statement import Statement

__all__ = ["Statement"]
