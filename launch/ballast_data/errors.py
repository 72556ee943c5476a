"""How writing fails because of what came from outside: one sentence with what, where, expected, found."""


class DataError(Exception):
    """The user must change something, or the disk is full; never a bug of this package."""
