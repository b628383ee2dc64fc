"""Training sets by Spark: the same plan, the same reading of a spine, the same last steps, on executors."""
