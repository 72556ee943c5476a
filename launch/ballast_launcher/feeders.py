"""The feeders of a job on this host: started with it, again when one dies, ended with it.

Whatever happens to them never ends the job: workers read for themselves what no feeder gives.
"""

import dataclasses
import time

from .errors import BAD_INPUT
from .failure import how_it_died
from .processes import Cluster

PAUSE_LEAST_S = 0.2  # before the first new start; doubles up to the most
PAUSE_MOST_S = 30.0
SETTLED_S = 60.0  # one that lived so long begins anew with the least


def on_this_host(config):
    """The numbers of the feeders that are not another host's."""
    cluster = config.get("cluster") or {}
    hosts = cluster.get("feeder_hosts") or []
    here = cluster.get("host")
    return [index for index in range(cluster.get("feeders", 0))
            if not hosts or hosts[index % len(hosts)] == here]


@dataclasses.dataclass
class Restarts:
    started_at: float
    pause_s: float = PAUSE_LEAST_S
    due_at: float | None = None  # nothing: it lives, or is not to be started again


class Feeders:
    def __init__(self, indexes, command, run_dir, note):
        """`command(index)`: what to start; `note(text)`: tells the user."""
        self.cluster = Cluster()
        self._indexes = indexes
        self._command = command
        self._run_dir = run_dir
        self._note = note
        self._restarts = {}

    def start(self):
        for index in self._indexes:
            self._restarts[index] = Restarts(time.monotonic())
            self._start(index)

    def look(self):
        """Notes who died and starts again whose pause is over. From the main thread only."""
        now = time.monotonic()
        for child in self.cluster.reap():
            self.cluster.children.remove(child)
            self._died(child, self._restarts[child.index], now)
        for index, restarts in self._restarts.items():
            if restarts.due_at is not None and now >= restarts.due_at:
                restarts.started_at, restarts.due_at = now, None
                self._start(index)

    def end(self, grace_s):
        self.cluster.end(grace_s)

    def _start(self, index):
        self.cluster.start("feeder", index, self._command(index), self._run_dir.logs)

    def _died(self, child, restarts, now):
        how = how_it_died(child.exit_code)
        if child.exit_code == BAD_INPUT:
            self._note(f"{child.name} {how}{self._cause(child)}; the job goes on without it")
            return
        if now - restarts.started_at >= SETTLED_S:
            restarts.pause_s = PAUSE_LEAST_S
        restarts.due_at = now + restarts.pause_s
        self._note(f"{child.name} {how}; it is started again in {restarts.pause_s:.1f} s")
        restarts.pause_s = min(2 * restarts.pause_s, PAUSE_MOST_S)

    def _cause(self, child):
        for report in self._run_dir.failures():
            if (report.get("role"), report.get("index")) == ("feeder", child.index):
                return ": " + "; ".join(map(str, report.get("chain") or []))
        return ""
