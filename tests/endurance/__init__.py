"""A mount under many clients for long: no error, no wrong byte, nothing that grows."""
