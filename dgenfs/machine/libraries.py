"""Libraries that are extras: whoever needs one that is not installed says how to get it."""


class MissingLibraryError(ImportError):
    """A library of an extra is not installed; the message says what to install."""
