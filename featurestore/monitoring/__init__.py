"""What is watched: distributions, skew, freshness, volume. Pure functions over Arrow, and the results they leave."""
