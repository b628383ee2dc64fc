"""Pictures as SVG, written by hand: pure functions from numbers and names to text that stands in a page or a report.

Shapes have classes (`bar`, `line`, `band`, …) and no colour of their own: the page's style sheet gives light and dark. `flow`
alone draws in the colour of the text around it, because it is also a file by itself. Every name is escaped. What cannot be
drawn (NaN, infinities, None) is left out, never an error.
"""

from featurestore.pictures.bars import Bar, histogram, names_below, rectangles
from featurestore.pictures.lines import line

__all__ = ["Bar", "histogram", "line", "names_below", "rectangles"]
