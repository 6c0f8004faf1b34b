"""Names written and proved by several hosts at once."""
