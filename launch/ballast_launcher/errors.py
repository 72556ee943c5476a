"""How the launcher itself fails: one line for the user and an exit code."""

DONE = 0
BUG = 1
BAD_INPUT = 2
FAILED = 3
STOPPED = 75  # on request; there is a checkpoint, so --resume goes on
STOPPED_NOW = 130  # by a second request, or by one before anything was trained: no new checkpoint


class LauncherError(Exception):
    def __init__(self, message, exit_code=BAD_INPUT):
        super().__init__(message)
        self.exit_code = exit_code


class ToolError(LauncherError):
    """A program of ours failed and said why: its own words are the message."""
