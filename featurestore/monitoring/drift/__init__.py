"""Have the distributions of features moved? Any two of a training set, a profile and a stretch of the serve log are compared,
feature by feature and all together, with one correction for all tests.

`compare` compares, `Comparison` says what was found. Which differences alert is decided in `rules`, and what is measured in
`numbers` and `categories`.
"""

from featurestore.monitoring.drift.compare import compare
from featurestore.monitoring.drift.found import ALL, Comparison, FeatureDrift, Test
from featurestore.monitoring.drift.windows import Windows

__all__ = ["ALL", "Comparison", "FeatureDrift", "Test", "Windows", "compare"]
