"""The oracle: F(view, key, t, K) in plain Python, written from the contract and slow on purpose.

It reads definitions and shares nothing with the fast path beyond them: not the plan, not the SQL, not the reading of
times, not the order of values. Where an engine differs from it, one of the two is wrong, and the contract says which.
"""

from featurestore.engines.reference.engine import Answer, ReferenceEngine

__all__ = ["Answer", "ReferenceEngine"]
