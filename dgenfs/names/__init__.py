"""Names: read, written, suggested and found below a root."""
