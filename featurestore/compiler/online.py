"""What a row of a view's state at a watermark is for, in any dialect."""

HELD, LATEST, IN_WINDOW = 0, 1, 2
"""What a row of the state is for; of `online_rows` LATEST and IN_WINDOW, added up: what a row is in the records."""
NEW_PREFIX = "new__"
"""Before a source's name: the rows that a run before did not see."""
