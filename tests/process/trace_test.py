"""`run --trace`: what the real programs say of each step, and what it must not cost."""

import collections
import json
import os
import signal

import launching
from process_case import LONG, ProcessTest

LAYERS = 3  # of the job: dense, dropout, dense
WITH_WEIGHTS = {0, 2}
STEPS = 32  # of one epoch
# Every instant of the computing thread is in one of these, so that their sum is the wall time.
WHOLE = {"step", "wait", "take weights", "write trace", "evaluate"}


class TraceCase(ProcessTest):
    def trace_job(self, *settings, run_dir="r", **more):
        done = launching.run("run", self.job, "--run-dir", run_dir, "--trace",
                             *self.settings("train.epochs=1", *settings), cwd=self.folder,
                             timeout=120, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def read(self, run_dir="r"):
        whole = json.loads((self.folder / run_dir / "trace.json").read_text())
        self.events = whole["traceEvents"]
        self.left_out = whole["otherData"]["left_out"]
        self.processes = {event["pid"]: event["args"]["name"] for event in self.events
                          if event["name"] == "process_name"}
        self.threads = {(event["pid"], event["tid"]): event["args"]["name"]
                        for event in self.events if event["name"] == "thread_name"}

    def spans(self, process, thread, name=None):
        """The spans of one thread, in the order of the file."""
        return [event for event in self.events if event["ph"] == "X"
                and self.processes[event["pid"]] == process
                and self.threads[event["pid"], event["tid"]] == thread
                and name in (None, event["name"])]

    def pairs(self, process, name):
        """{id: (begin, end)} of requests."""
        found = collections.defaultdict(dict)
        for event in self.events:
            if event["ph"] in "be" and event["name"] == name \
                    and self.processes[event["pid"]] == process:
                self.assertNotIn(event["ph"], found[event["id"]])
                found[event["id"]][event["ph"]] = event
        return {number: (pair["b"], pair["e"]) for number, pair in found.items()}

    def check_that_spans_nest(self):
        for pid, tid in self.threads:
            open_ends, before = [], float("-inf")
            for event in self.events:
                if event["ph"] != "X" or (event["pid"], event["tid"]) != (pid, tid):
                    continue
                begin, end = event["ts"], event["ts"] + event["dur"]
                self.assertGreaterEqual(event["dur"], 0)
                self.assertGreaterEqual(begin, before, "in the order of time")
                before = begin
                while open_ends and open_ends[-1] <= begin + 1e-3:  # a nanosecond
                    open_ends.pop()
                if open_ends:
                    self.assertLessEqual(end, open_ends[-1] + 1e-3, event)
                open_ends.append(end)


class Traces(TraceCase):
    def check_worker(self, worker, lane_passes):
        """Each kind of span, for each step and layer."""
        for thread, name, layers in (("device", "forward", set(range(LAYERS))),
                                     ("device", "backward", WITH_WEIGHTS),
                                     ("device", "backward input", {1, 2}),
                                     ("device downloads", "download", WITH_WEIGHTS)):
            counts = collections.Counter((event["args"]["step"], event["args"]["layer"])
                                         for event in self.spans(worker, thread, name)
                                         if "layer" in event["args"])
            self.assertEqual(counts, {(step, layer): lane_passes for step in range(STEPS)
                                      for layer in layers}, name)
        for thread, name in (("device", "loss"), ("compute", "load"), ("compute", "compute")):
            counts = collections.Counter(event["args"]["step"]
                                         for event in self.spans(worker, thread, name))
            self.assertEqual(counts, dict.fromkeys(range(STEPS), lane_passes), name)
        steps = [event["args"]["step"] for event in self.spans(worker, "compute", "step")]
        self.assertEqual(steps, list(range(STEPS)))
        waits = {event["args"]["step"] for event in self.spans(worker, "compute", "wait")}
        self.assertLessEqual(set(range(STEPS - 1)), waits)
        handed = {(event["args"]["step"], event["args"]["layer"])
                  for event in self.spans(worker, "compute", "hand over")}
        self.assertLessEqual({(step, layer) for step in range(STEPS) for layer in WITH_WEIGHTS},
                             handed)

    def check_requests(self, worker):
        pushes = self.pairs(worker, "push")
        units = {begin["args"]["unit"] for begin, _ in pushes.values()}
        counts = collections.Counter((begin["args"]["step"], begin["args"]["unit"])
                                     for begin, _ in pushes.values())
        self.assertGreater(len(units), 4)
        self.assertEqual(set(counts), {(step, unit) for step in range(STEPS) for unit in units})
        steps = {event["args"]["step"]: event for event in self.spans(worker, "compute", "step")}
        for begin, end in pushes.values():
            self.assertLessEqual(begin["ts"], end["ts"])
            self.assertGreaterEqual(begin["ts"], steps[begin["args"]["step"]]["ts"])
            self.assertIn(begin["args"]["shard"], (0, 1))
            self.assertGreater(begin["args"]["bytes"], 0)
        first = {begin["args"]["unit"] for begin, _ in self.pairs(worker, "pull").values()
                 if begin["args"]["step"] == 0}
        self.assertEqual(first, units)

    def check_that_shares_add_up(self, worker):
        """From the first step on, the computing thread is always in one of its spans. A part is left
        for what the machine does between two of them."""
        whole = [event for event in self.spans(worker, "compute") if event["name"] in WHOLE]
        wall = whole[-1]["ts"] + whole[-1]["dur"] - whole[0]["ts"]
        told = sum(event["dur"] for event in whole)

        self.assertLessEqual(told, wall + 1)
        self.assertGreater(told, 0.8 * wall)

    def test_sync_shows_every_step_layer_and_request_of_two_workers(self):
        done = self.trace_job()

        self.assertIn("trace: r/trace.json, steps 0 to 31; open it in ", done.stdout)
        self.read()
        self.assertEqual(self.left_out, [])
        self.assertEqual(sorted(self.processes.values()),
                         ["server 0", "server 1", "worker 0", "worker 1"])
        self.check_that_spans_nest()
        for worker in ("worker 0", "worker 1"):
            self.check_worker(worker, lane_passes=2)
            self.check_requests(worker)
            self.check_that_shares_add_up(worker)
        for server in (0, 1):
            applied = self.spans(f"server {server}", f"shard {server}", "apply")
            self.assertEqual({(event["args"]["step"], event["args"]["worker"]) for event in applied},
                             {(step, worker) for step in range(STEPS) for worker in (0, 1)})
            # Of two pushes of a unit, one has to wait for the other.
            self.assertGreater(len(self.pairs(f"server {server}", "held push")), STEPS)

    def test_async_shows_every_step_layer_and_request_of_two_workers(self):
        self.trace_job("train.mode=async")

        self.read()
        self.check_that_spans_nest()
        for worker in ("worker 0", "worker 1"):
            self.check_worker(worker, lane_passes=1)
            self.check_requests(worker)
            self.check_that_shares_add_up(worker)

    def test_times_count_from_the_start_of_the_job(self):
        self.trace_job("train.max_steps=2")

        self.read()
        times = [event["ts"] for event in self.events if "ts" in event]
        self.assertGreaterEqual(min(times), 0)
        self.assertLess(max(times), 120e6)

    def test_only_the_steps_that_are_asked_for_are_in_it(self):
        done = self.trace_job("trace.first_step=5", "trace.steps=3")

        self.read()
        steps = {event["args"]["step"] for event in self.events if "step" in event.get("args", {})}
        self.assertEqual(steps, {5, 6, 7})
        self.assertIn("steps 5 to 7", done.stdout)
        self.assertIn("left out: the other steps, up to 3", done.stdout)

    def test_the_weights_and_the_job_hash_are_those_of_a_run_without(self):
        plain = self.finish("train.epochs=1", run_dir="plain")
        self.assertFalse((self.folder / "plain/trace").exists())

        self.trace_job()

        self.assertEqual(self.summary()["weights_xxh3"], plain["weights_xxh3"])
        self.assertEqual(self.summary()["job_hash"], plain["job_hash"])


class Misfortunes(TraceCase):
    def start_traced(self):
        """A long job that every worker has written some steps of."""
        launcher = launching.start("run", self.job, "--run-dir", "r", "--trace",
                                   *self.settings(LONG, "trace.steps=100000000"), cwd=self.folder)
        self.started.append(launcher)
        self.wait_for_checkpoint(launcher)
        for worker in (0, 1):
            part = self.folder / f"r/trace/worker-{worker}.jsonl"
            self.wait(launcher, lambda: part.read_bytes().count(b'"name":"step"') > 20, "20 steps")
        return launcher

    def test_a_killed_worker_leaves_a_trace_of_what_it_did(self):
        launcher = self.start_traced()

        os.kill(self.pid_of("worker", 1), signal.SIGKILL)
        code, error = self.end(launcher, seconds=30)

        self.assertEqual(code, 3)
        self.assertIn("worker 1 was killed by signal 9", error)
        self.assertIn("trace: r/trace.json, steps 0 to ", error)
        self.assertIn("left out: worker 1 did not end by itself", error)
        self.assertIn("to resume: ", launching.last_line(error))
        self.read()
        self.check_that_spans_nest()
        for worker in ("worker 0", "worker 1"):
            self.assertGreater(len(self.spans(worker, "compute", "step")), 20)

    def test_a_job_that_is_stopped_has_a_trace(self):
        launcher = self.start_traced()

        os.kill(launcher.pid, signal.SIGINT)
        code, error = self.end(launcher, seconds=30)

        self.assertEqual(code, 75, error)
        self.assertIn("trace: r/trace.json, steps 0 to ", error)
        self.read()
        self.check_that_spans_nest()
        self.assertGreater(len(self.spans("worker 0", "compute", "step")), 20)

    def test_a_resumed_job_traces_the_steps_that_it_does(self):
        self.finish("train.max_steps=32")

        done = launching.run("run", "--resume", "r", "--trace",
                             *self.settings("train.max_steps=64", "trace.steps=4"), cwd=self.folder)

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("trace: r/trace.json, steps 32 to 35; ", done.stdout)

    def test_a_trace_that_cannot_be_written_is_refused_before_anything_is_trained(self):
        self.finish("train.max_steps=32")
        folder = self.folder / "r/trace"
        words = ("run", "--resume", "r", "--trace", *self.settings("train.max_steps=64"))

        folder.write_text("a file")
        done = launching.run(*words, cwd=self.folder)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "cannot write a trace to .*/r/trace: File exists; mend that, or "
                                      "leave out --trace")

        folder.unlink()
        folder.mkdir(mode=0o500)
        done = launching.run(*words, cwd=self.folder, prefix=launching.UNPRIVILEGED)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "cannot write a trace to .*/r/trace: Permission denied")
        self.assertEqual(self.summary()["steps"], 32)
