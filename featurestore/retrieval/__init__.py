"""Answer requests: training sets offline, look-ups online."""
