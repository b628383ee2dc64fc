"""Spark SQL for every part of a plan."""
