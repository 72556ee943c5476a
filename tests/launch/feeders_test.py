"""Feeders: started with the job, again when one dies, ended with it; none of them ends it."""

import os
import signal

from launcher_case import LauncherTest
import launching


class Feeders(LauncherTest):
    def feeder_pids(self):
        return {pid for pid, words in launching.processes_of(self.folder / "r").items()
                if "ballast-feeder" in words}

    def start_with_feeders(self, **fake):
        job = self.write_job(steps=10_000, **fake)
        launcher = launching.start(*self.words("run", job, "--run-dir", "r", "--set",
                                               "cluster.feeders=2"), cwd=self.folder)
        self.started.append(launcher)
        launching.wait_until(lambda: len(self.feeder_pids()) == 2, "two feeders")
        launching.wait_until(lambda: self.status().get("step", -1) >= 1, "step 1")
        return launcher

    def test_a_job_without_feeders_starts_none(self):
        self.start_job()

        self.assertEqual(self.feeder_pids(), set())

    def test_a_feeder_that_dies_is_started_again_and_told(self):
        launcher = self.start_with_feeders()
        before = self.feeder_pids()
        victim = launching.process_of(self.folder / "r", "feeder", 1)
        os.kill(victim, signal.SIGKILL)
        launching.wait_until(lambda: len(self.feeder_pids() - {victim}) == 2, "a new feeder")
        self.assertEqual(len(self.feeder_pids() & before), 1)
        launcher.send_signal(signal.SIGINT)
        code, out, _ = self.end(launcher)

        self.assertEqual(code, 75)
        self.assertIn("feeder 1 was killed by signal 9 (SIGKILL)", out)
        self.assertIn("it is started again in 0.2 s", out)

    def test_a_feeder_with_bad_input_is_told_with_its_cause_and_left_out(self):
        launcher = self.start_with_feeders(who="feeder-0", at_step=1, misfortune="report", code=2)
        launching.wait_until(lambda: len(self.feeder_pids()) == 1, "one feeder is left")
        launcher.send_signal(signal.SIGINT)
        code, out, _ = self.end(launcher)

        self.assertEqual(code, 75)
        self.assertIn("feeder 0 failed with exit code 2: loss is nan on feeder-0; while testing; "
                      "the job goes on without it", out)

    def test_feeders_end_with_their_job(self):
        job = self.write_job()
        done = self.run_launcher("run", job, "--run-dir", "r", "--set", "cluster.feeders=2")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(launching.processes_of(self.folder / "r"), {})

    def test_feeders_of_other_hosts_are_left_to_those(self):
        job = self.write_job()
        done = self.run_launcher("run", job, "--run-dir", "r", "--set", "cluster.feeders=2",
                                 "--set", 'cluster.feeder_hosts=["10.0.0.7", "10.0.0.8"]')

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse((self.folder / "r/logs/feeder-0.out").exists())
