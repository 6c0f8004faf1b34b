"""Control files: what they say of a running mount, and how it is retuned."""
