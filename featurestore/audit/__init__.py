"""Judge what was answered: online answers against the offline truth."""
