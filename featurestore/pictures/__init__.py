"""Pictures as SVG, written by hand: pure functions from numbers and names to text that stands in a page or a report.

Shapes have classes (`bar`, `line`, `threshold`, …) and no colour of their own: the page's style sheet gives light and dark.
Every name is escaped. What cannot be drawn (NaN, infinities, None) is left out, never an error.
"""

from featurestore.pictures.bars import Bar, bars, histogram, names_below, rectangles
from featurestore.pictures.lines import line, sparkline

__all__ = ["Bar", "bars", "histogram", "line", "names_below", "rectangles", "sparkline"]
