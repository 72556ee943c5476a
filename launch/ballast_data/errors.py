"""How writing fails because of what came from outside: one sentence that says what, where, what was
expected and what was found."""


class DataError(Exception):
    """The user must change something, or something else is full; never a bug of this package."""


class DiskError(DataError):
    """Nothing is wrong with what was asked: the disk is full or broken, or a process was killed."""
