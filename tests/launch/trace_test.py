"""Parts of a trace become one file that viewers read."""

import json
import pathlib
import tempfile
import unittest

from ballast_launcher import trace
from ballast_launcher.errors import LauncherError

ORIGIN = trace.Origin(monotonic_ns=1_000_000, wall_ns=50_000_000, clock="here")


class Trace(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ballast-test-")
        self.addCleanup(folder.cleanup)
        self.run = pathlib.Path(folder.name)
        trace.prepare(self.run)

    def write(self, role, index, *spans, end=True, clock="here", tail="", **head):
        first = {"role": role, "index": index, "host": "a", "process": 7, "clock": clock,
                 "monotonic_ns": 1_000_000, "wall_ns": 50_000_000, "first_step": 0, "steps": 1000}
        lines = [first | head, {"track": 1, "name": "compute"}, *spans]
        if end:
            lines.append({"last_step": max([span["args"]["step"] for span in spans], default=-1)})
        if isinstance(end, dict):
            lines[-1] |= end
        path = self.run / "trace" / f"{role}-{index}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)

    def span(self, name, begin, end, step=0, **more):
        return {"track": 1, "name": name, "begin": begin, "end": end, "args": {"step": step}} | more

    def join(self):
        return trace.join(self.run, "r", ORIGIN, {"job": "digits"})

    def joined(self):
        return json.loads((self.run / "trace.json").read_text())

    def events(self, phase):
        return [event for event in self.joined()["traceEvents"] if event["ph"] == phase]

    def test_times_are_microseconds_since_the_start_of_the_job(self):
        self.write("worker", 0, self.span("load", 1_002_000, 1_003_500, step=4))

        lines = self.join()

        self.assertEqual(lines, [f"trace: r/trace.json, steps 4 to 4; open it in {trace.VIEWERS}"])
        event, = self.events("X")
        self.assertEqual(event, {"name": "load", "ph": "X", "pid": 1, "tid": 1, "ts": 2.0, "dur": 1.5,
                                 "args": {"step": 4}})
        self.assertEqual(self.joined()["otherData"], {"job": "digits", "left_out": []})

    def test_processes_and_threads_have_names_workers_first(self):
        for role, index in (("server", 0), ("worker", 10), ("worker", 2)):
            self.write(role, index)

        self.join()

        names = {(event["name"], event["pid"]): event["args"] for event in self.events("M")}
        self.assertEqual([names["process_name", pid]["name"] for pid in (1, 2, 3)],
                         ["worker 2", "worker 10", "server 0"])
        self.assertEqual(names["thread_name", 1], {"name": "compute"})
        self.assertEqual(names["process_labels", 1], {"labels": "a, process 7"})

    def test_what_overlaps_is_a_pair_with_an_id_of_its_own(self):
        for index in (0, 1):
            self.write("worker", index, self.span("push", 1_000_000, 1_004_000, id=9),
                       self.span("push", 1_001_000, 1_005_000, id=10))

        self.join()

        pairs = {}
        for event in self.events("b") + self.events("e"):
            pairs.setdefault((event["id"], event["cat"], event["name"]), []).append(event["ts"])
        self.assertEqual(len(pairs), 4)
        self.assertEqual(sorted(map(tuple, pairs.values())), [(0, 4), (0, 4), (1, 5), (1, 5)])

    def test_spans_stand_in_the_order_of_time_and_what_encloses_comes_first(self):
        self.write("worker", 0, self.span("load", 2_000_000, 2_000_500),
                   self.span("compute", 2_000_500, 2_001_000),
                   self.span("step", 2_000_000, 2_001_000))

        self.join()

        self.assertEqual([event["name"] for event in self.events("X")], ["step", "load", "compute"])

    def test_another_machine_is_aligned_by_its_wall_clock(self):
        self.write("worker", 0, self.span("load", 77_000_000, 77_001_000), clock="there",
                   monotonic_ns=70_000_000, wall_ns=52_000_000)

        self.join()

        # 7 ms after its first line, which was written 2 ms after the start of the job.
        self.assertEqual(self.events("X")[0]["ts"], 9000)

    def test_a_part_that_was_cut_counts_up_to_there(self):
        self.write("worker", 0, self.span("load", 1_000_000, 1_000_500), end=False,
                   tail='{"track":1,"name":"lo')

        lines = self.join()

        self.assertEqual(len(self.events("X")), 1)
        self.assertIn("worker 0 did not end by itself", lines[1])
        self.assertEqual(self.joined()["otherData"]["left_out"], [lines[1].split(": ", 1)[1]])

    def test_what_was_left_out_is_said(self):
        self.write("worker", 0, self.span("load", 1, 2, step=3), end={"last_step": 41})
        self.assertIn("the other steps, up to 41", self.join()[1])

        self.write("worker", 0, self.span("load", 1, 2, step=3),
                   end={"last_step": 41, "full_at_step": 4})
        self.assertIn("worker 0 from step 4 on", self.join()[1])

        self.write("worker", 0, end={"last_step": 41})
        self.assertIn("no step", self.join()[0])
        self.assertIn("all 42 steps", self.join()[1])

    def test_a_part_that_makes_no_sense_does_not_cost_the_others(self):
        self.write("worker", 0, self.span("load", 1_000_000, 1_000_500))
        (self.run / "trace/worker-1.jsonl").write_text("")
        (self.run / "trace/server-0.jsonl").write_bytes(b"\xff\x00{}\n[1]\n")

        lines = self.join()

        self.assertEqual(len(self.events("X")), 1)
        self.assertEqual(len(lines), 3)

    def test_without_any_part_it_says_so(self):
        self.assertEqual(self.join(), ["trace: none, no process wrote one; the logs say why"])
        self.assertFalse((self.run / "trace.json").exists())

    def test_a_joined_file_that_cannot_be_written_leaves_the_parts(self):
        self.write("worker", 0)
        (self.run / "trace.json.new").mkdir()

        lines = self.join()

        self.assertEqual(len(lines), 1)
        self.assertIn("cannot write r/trace.json: Is a directory; its parts are in r/trace", lines[0])

    def test_an_earlier_trace_goes_and_a_folder_that_cannot_be_made_is_refused(self):
        self.write("worker", 5)
        self.join()

        trace.prepare(self.run)

        self.assertEqual(list((self.run / "trace").iterdir()), [])
        self.assertFalse((self.run / "trace.json").exists())
        (self.run / "trace").rmdir()
        (self.run / "trace").write_text("mine")
        with self.assertRaisesRegex(LauncherError, "cannot write a trace to .*/trace: File exists"):
            trace.prepare(self.run)
