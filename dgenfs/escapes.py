"""Text of others, such as a file's name, as a terminal may be given it."""


def escaped(text: str) -> str:
    r"""Return text in one line that no terminal takes for a command.

    What is not printable stands as in Python's literals and bash's ``$'...'``: the end of a line as
    ``\n``, an escape as ``\x1b``, a byte that is no text as ``\xe9``. A backslash stays one.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no text (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
