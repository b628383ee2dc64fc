"""Profiles: what the values of features are like, in one pass, small enough to keep, and mergeable.

Decides what is counted of rows that come as Arrow tables, and how it is kept. When a profile is made, and where it lies, is the
business of `retrieval`, `store` and `monitoring`; whether two are alike that of `monitoring`.
"""

from featurestore.profiles.collector import Collector
from featurestore.profiles.feature import FeatureProfile
from featurestore.profiles.profile import SUFFIX, Profile

__all__ = ["SUFFIX", "Collector", "FeatureProfile", "Profile"]
