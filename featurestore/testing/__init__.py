"""Contract suites anyone can inherit: write a store, name it in a test class, and see whether it keeps the promise."""
