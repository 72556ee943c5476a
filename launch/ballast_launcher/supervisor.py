"""Watches the processes of one job until none is left, and says how it ended.

The job is over when every process is. A process that dies with anything but 0 or 75 ends it: the
others get a moment to write their own failure report, then are ended. Ctrl-C (or SIGTERM) is passed
to the coordinator alone, which writes a checkpoint and stops everybody; a second one kills.
"""

import contextlib
import enum
import os
import select
import signal
import time

from .errors import STOPPED

SETTLE_S = 0.5  # for the other processes' failure reports
TOLD_S = 3.0  # the same, at most, where the coordinator failed and told them: they end by themselves
LINGER_S = 10.0  # for servers and workers to end after the coordinator did
STOP_LINGER_S = 2.0  # the same after a stop on request
TICK_S = 0.2
FEEDER_GRACE_S = 1.0  # they hold nothing: only their last line of log waits


class Ending(enum.Enum):
    FINISHED = "every process ended with 0"
    STOPPED = "on request, with a checkpoint unless nothing was trained"
    STOPPED_EARLY = "on request, before the coordinator listened to it"
    KILLED = "on a second request"
    FAILED = "a process died"
    LINGERED = "processes did not end after the coordinator had"


class StopSignals:
    """Counts requests to stop; wakes the waiting launcher on these and on the death of a child."""

    WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self):
        self.count = 0
        self._previous = {}
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        os.set_blocking(self._reader, False)

    def __enter__(self):
        for number in self.WATCHED:
            # nohup asks to survive the terminal; an ignored SIGINT only means a background shell.
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._note)
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_):
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def _note(self, *_):
        self.count += 1

    def wait(self, seconds):
        select.select([self._reader], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)


class Supervisor:
    def __init__(self, cluster, run_dir, display, signals, feeders):
        self.cluster = cluster
        self.feeders = feeders
        self.run_dir = run_dir
        self.display = display
        self.signals = signals
        self.stop_sent = False
        self.last_status = {}  # as it was when the job ended or failed

    def watch(self):
        """-> Ending; when it returns, no process is left."""
        try:
            ending = None
            while ending is None:
                self.signals.wait(TICK_S)
                self.feeders.look()
                self.show()
                ending = self.look()
            self.finish(ending)
            if ending is not Ending.FAILED:
                self.show()
            return ending
        finally:
            self.cluster.end(grace_s=0)
            self.feeders.end(FEEDER_GRACE_S)

    def look(self):
        """One look at everybody: the ending, or nothing while the job goes on."""
        dead = self.cluster.reap()
        if self.signals.count >= 2:
            return Ending.KILLED
        if self.stop_sent and self.cluster.coordinator.exit_code == -signal.SIGINT:
            return Ending.STOPPED_EARLY
        if any(child.exit_code not in (0, STOPPED) for child in dead):
            return Ending.FAILED
        if not self.cluster.alive():
            stopped = any(child.exit_code == STOPPED for child in self.cluster.children)
            return Ending.STOPPED if stopped else Ending.FINISHED
        if self.signals.count == 1 and not self.stop_sent:
            self.request_stop()
        ended_at = self.cluster.coordinator.died_at
        lingered = 0 if ended_at is None else time.time() - ended_at
        if self.stop_sent and self.cluster.coordinator.exit_code == STOPPED \
                and lingered > STOP_LINGER_S:
            # What is to be kept is on the disk; who has not joined yet, or computes on, may go.
            return Ending.STOPPED
        if lingered > LINGER_S:
            return Ending.LINGERED
        return None

    def request_stop(self):
        self.stop_sent = True
        self.display.note("stopping: writing a checkpoint (Ctrl-C again stops at once)")
        self.cluster.coordinator.send(signal.SIGINT)

    def finish(self, ending):
        """Ends whoever is left, in the way the ending asks for."""
        if ending is Ending.KILLED:
            self.cluster.end(grace_s=0)
            return
        told = (self.cluster.coordinator.exit_code or 0) > 0
        deadline = time.monotonic() + (TOLD_S if told else SETTLE_S)
        while ending is Ending.FAILED and self.cluster.alive() and time.monotonic() < deadline:
            self.signals.wait(0.05)
            self.cluster.reap()
        self.cluster.end()

    def show(self):
        for record in self.run_dir.new_metrics():
            self.display.metrics(record)
        self.last_status = self.run_dir.status()
        self.display.status(self.last_status)
