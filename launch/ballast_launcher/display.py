"""What a user sees while a job runs: a progress bar on a terminal, plain lines elsewhere."""

import os
import sys
import time

from . import text

PLAIN_EVERY_S = 5.0

try:
    from rich import progress as rich_progress
    from rich.console import Console
except ImportError:  # the launcher also works without
    rich_progress = None


class QuietDisplay:
    """Shows nothing; also the base of the others."""

    def start(self):
        pass

    def stop(self):
        pass

    def note(self, message):
        pass

    def status(self, status):
        pass

    def metrics(self, record):
        pass


def is_evaluation(record):
    return any(key.startswith("test_") for key in record)


def say(line):
    """A line that is not worth a job: a reader that went away does not end it."""
    try:
        print(line, flush=True)
    except OSError:
        # Nothing can be shown any more; without this the interpreter would try again at its end.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")


class PlainDisplay(QuietDisplay):
    def __init__(self):
        self._shown_at = float("-inf")
        self._shown = None

    def note(self, message):
        say(message)

    def status(self, status):
        line = text.status_line(status)
        now = time.monotonic()
        if status and line != self._shown and now - self._shown_at >= PLAIN_EVERY_S:
            self._shown_at, self._shown = now, line
            say(line)

    def metrics(self, record):
        if is_evaluation(record):
            say("evaluation  " + text.record_line(record))


class BarDisplay(QuietDisplay):
    """One live line below the evaluations. Refreshed by its caller: it has no thread, since
    children are forked from a process with a single one."""

    def __init__(self):
        self._console = Console()
        self._progress = rich_progress.Progress(
            rich_progress.TextColumn("{task.fields[state]}"),
            rich_progress.BarColumn(bar_width=24),
            rich_progress.TextColumn("{task.fields[line]}"),
            console=self._console, auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=None, state="starting", line="")

    def start(self):
        self._progress.start()

    def stop(self):
        self._progress.stop()

    def note(self, message):
        self._console.print(message, highlight=False, markup=False)

    def status(self, status):
        if not status:
            return
        self._progress.update(self._task, total=status.get("steps") or None,
                              completed=status.get("step") or 0,
                              state=status.get("state", ""),
                              line=text.status_line(status, with_state=False).replace("[", "\\["))
        self._progress.refresh()

    def metrics(self, record):
        if is_evaluation(record):
            self.note("evaluation  " + text.record_line(record))


def choose(quiet):
    if quiet:
        return QuietDisplay()
    on_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return BarDisplay() if on_terminal and rich_progress else PlainDisplay()
