"""The commands besides a plain run."""

import json
import shutil
import signal

import launching
from launcher_case import LONG, LauncherTest
from launching import ROOT


class OtherCommands(LauncherTest):
    def test_commands_of_the_tool_are_passed_on_with_their_exit_code(self):
        for command in ("data", "doctor", "keys", "predict", "evaluate", "export"):
            done = self.run_launcher(command, "--x", "y")
            self.assertEqual(done.stdout, f"tool called with {command} --x y\n")
        self.assertEqual(self.run_launcher("data", "fail").returncode, 4)

    def test_one_ctrl_c_while_it_is_still_being_loaded_is_no_traceback(self):
        shutil.copy(ROOT / "launch/ballast", self.folder)
        package = self.folder / "ballast_launcher"
        package.mkdir()
        (package / "main.py").write_text("raise KeyboardInterrupt\n", encoding="ascii")

        done = launching.run("run", "x.toml", cwd=self.folder, program=self.folder / "ballast")

        self.assertEqual((done.returncode, done.stderr), (130, "ballast: stopped\n"))

    def test_dry_run_starts_nothing_and_makes_no_folder(self):
        done = self.run_launcher("run", self.write_job(), "--dry-run")

        self.assertEqual((done.returncode, done.stdout), (0, "shapes\n"))
        self.assertFalse((self.folder / "runs").exists())

    def test_smoke_reports_each_stage(self):
        done = self.run_job("--smoke", "2")

        self.assertEqual(done.returncode, 0, done.stderr)
        stages = [line.split()[1] for line in done.stdout.splitlines() if line.endswith(" ok")]
        self.assertEqual(stages, ["train", "evaluate", "checkpoint", "resume", "export"])

    def test_smoke_names_the_stage_that_failed(self):
        done = self.run_job("--smoke", "2", steps=LONG, who="worker-0", at_step=1,
                            misfortune="report", code=3)

        self.assertEqual(done.returncode, 3)
        self.assertIn("failed", launching.last_line(done.stdout))
        self.assertIn("loss is nan on worker-0", done.stderr)

    def test_smoke_refuses_what_it_cannot_do(self):
        self.run_job("--quiet")

        resumed = self.run_launcher("run", "--resume", "r", "--smoke", "2")
        endless = self.run_launcher("run", self.write_job(), "--smoke", "99999999999")

        self.assertEqual((resumed.returncode, endless.returncode), (2, 2))
        self.assertIn("instead of --resume", resumed.stderr)
        self.assertIn("--smoke 99999999999: expected at most", endless.stderr)

    def test_smoke_of_more_steps_than_the_job_has_says_how_many_it_has(self):
        done = self.run_job("--smoke", "20", steps=8)

        self.assertEqual(done.returncode, 2)
        self.assertIn("--smoke 20: the whole job has only 8 steps; choose at most 4", done.stderr)

    def test_status_of_a_run_that_was_stopped_or_killed_says_so_and_waits_for_nobody(self):
        for end, state in ((signal.SIGINT, "r: stopped, "), (signal.SIGKILL, "r: killed, ")):
            with self.subTest(state=state):
                shutil.rmtree(self.folder / "r", ignore_errors=True)
                launcher = self.start_job()
                launcher.send_signal(end)
                self.end(launcher)
                launching.wait_until(lambda: not launching.processes_of(self.folder / "r"), "end")

                done = self.run_launcher("status", "r")

                self.assertIn(state, done.stdout)
                self.assertNotIn("running", done.stdout)
                self.assertNotIn("computing", done.stdout)

    def test_status_of_a_run_whose_launcher_was_killed_says_how_to_go_on(self):
        for settings, advice in (({}, "no checkpoint was written: run the job again"),
                                 ({"checkpoint_at": 1}, "to resume from step 1: ")):
            with self.subTest(advice=advice):
                shutil.rmtree(self.folder / "r", ignore_errors=True)
                launcher = self.start_job(**settings)
                launching.wait_until(lambda: self.status().get("step", 0) >= 2, "step 2")
                launcher.kill()
                self.end(launcher)

                done = self.run_launcher("status", "r")

                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("its launcher was killed, and every process with it", done.stdout)
                self.assertIn(advice, done.stdout)

    def test_a_run_directory_that_is_none_is_told_by_what_it_is(self):
        (self.folder / "file").write_text("")
        (self.folder / "empty").mkdir()
        (self.folder / "damaged").mkdir()
        (self.folder / "damaged/status.json").write_text("{")

        for words in (("status",), ("compare",), ("run", "--resume")):
            for name, found in (("absent", "absent: no such folder; expected a run directory"),
                                ("file", "file: a file; expected a run directory"),
                                ("empty", "holds no ")):
                with self.subTest(words=words, name=name):
                    done = self.run_launcher(*words, name)

                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn(found, done.stderr)
        self.assertIn("damaged/status.json is damaged", self.run_launcher("status", "damaged").stderr)

    def test_status_of_a_run_that_failed_repeats_what_was_said(self):
        self.run_job(steps=LONG, who="worker-1", at_step=20, misfortune="kill", checkpoint_at=5)

        done = self.run_launcher("status", "r")

        self.assertIn("r: failed, ", done.stdout)
        self.assertIn("worker 1 was killed by signal 9", done.stdout)
        self.assertIn("run --resume r", done.stdout)

    def test_plots_of_a_file_that_is_no_result_is_one_line(self):
        for content in ("not json", "{}", "[1]", '{"target": 1, "rows": [1], "runs": [{}]}'):
            with self.subTest(content=content):
                (self.folder / "x.json").write_text(content)

                done = self.run_launcher("bench", "plots", "x.json")

                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertIn("x.json: ", done.stderr)
        self.assertEqual(self.run_launcher("bench", "plots", "absent.json").returncode, 2)

    def test_status_shows_the_newest_run(self):
        self.run_launcher("run", self.write_job(), "--quiet")

        done = self.run_launcher("status")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(": finished, ", done.stdout)
        self.assertRegex(done.stdout, r"worker +state +clock +samples/s")

    def test_status_knows_a_run_that_is_going_on(self):
        self.start_job()

        done = self.run_launcher("status", "r")

        self.assertIn("r: running", done.stdout)

    def test_compare_fails_below_its_floor_and_names_the_run(self):
        self.run_job("--quiet")

        good = self.run_launcher("compare", "r", "--at-least", "test_accuracy=0.96")
        bad = self.run_launcher("compare", "r", "--at-least", "test_accuracy=0.98")

        self.assertEqual(good.returncode, 0, good.stderr)
        self.assertRegex(good.stdout, r"sync +0\.9700 +1\.5 +66\.7 +0\.50 +4\.0 KiB +r")
        self.assertEqual(bad.returncode, 3)
        self.assertIn("r: test_accuracy is 0.97, expected at least 0.98", bad.stderr)

    def test_compare_refuses_a_floor_that_is_none_and_names_the_metrics_there_are(self):
        self.run_job("--quiet")

        for floor in ("test_accuracy", "=0.5", "test_accuracy=nan", "test_accuracy=x"):
            done = self.run_launcher("compare", "r", "--at-least", floor)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(f"--at-least {floor}: expected METRIC=NUMBER", done.stderr)
        done = self.run_launcher("compare", "r", "--at-least", "accuracy=0.5")
        self.assertEqual(done.returncode, 3)
        self.assertIn("r: no metric accuracy found; it has test_accuracy", done.stderr)

    def test_an_empty_argument_is_named_by_the_one_before_it(self):
        for words in (("run", "--resume", ""), ("run", "job.toml", "--run-dir", ""),
                      ("data", "convert", "--out", "")):
            done = self.run_launcher(*words)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(f"empty argument after {words[-2]}: a value expected", done.stderr)

    def test_bench_refuses_before_the_first_run_what_the_last_would_stumble_on(self):
        (self.folder / "file").write_text("")
        job = self.write_job()
        refused = ("--set", "fake.refuse=bad")

        for words, told in (((job, "--out", "b", *refused), "bad"),
                            ((job, "--out", "file"), "a folder cannot be made here"),
                            ((self.folder, "--out", "b"), "a folder; expected a job file"),
                            (("--slow-factor", "nan"), "a number expected, 'nan' found"),
                            (("--pause-chance", "x"), "a number expected, 'x' found"),
                            (("--target", "inf"), "a number expected, 'inf' found"),
                            (("--repeats", "0"), "a whole number from 1 expected, '0' found")):
            with self.subTest(words=words):
                done = self.run_launcher("bench", "sync-async", *words)

                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertIn(told, done.stderr)
                self.assertFalse((self.folder / "b").exists())

    def test_compare_says_what_is_wrong_with_a_summary(self):
        self.run_job("--quiet")
        path = self.folder / "r/summary.json"
        whole = json.loads(path.read_text())
        cases = (('{"mode": "sy', "no whole JSON object"), ("[1]", "no whole JSON object"),
                 (json.dumps(whole | {"wall_seconds": "x"}), 'wall_seconds is "x", expected a number'),
                 (json.dumps(whole | {"metrics": [1]}), "metrics is [1], expected an object"),
                 (json.dumps(whole | {"metrics": {"test_accuracy": "high"}}),
                  'test_accuracy is "high", expected a number'))
        for content, fault in cases:
            with self.subTest(content=content):
                path.write_text(content)

                done = self.run_launcher("compare", "r", "--at-least", "test_accuracy=0.5")

                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stderr, f"ballast: r/summary.json is damaged: {fault}; "
                                 "`run --resume r` writes it anew\n")
        path.write_text(json.dumps(whole | {"stopped": True}))
        self.assertIn("stopped before its end", self.run_launcher("compare", "r").stderr)

    def test_bench_writes_every_run_a_row_for_each_kind_and_four_plots(self):
        done = self.run_launcher("bench", "sync-async", self.write_job(), "--out", "b",
                                 "--repeats", "2")

        self.assertEqual(done.returncode, 0, done.stderr)
        results = json.loads((self.folder / "b/results.json").read_text())
        self.assertEqual(len(results["runs"]), 18)
        kinds = {(row["condition"], row["mode"], row["runs"]) for row in results["rows"]}
        self.assertEqual(len(kinds), 9)
        self.assertIn(("slow worker", "async", 2), kinds)
        self.assertEqual(results["target"], 0.97)
        self.assertRegex(done.stdout, r"slow worker / async +2 +0\.9700 +0\.30 +1\.50 +1\.00")
        plots = sorted(path.name for path in (self.folder / "b").glob("*.png"))
        self.assertEqual(plots, ["accuracy_over_time.png", "samples_per_second.png",
                                 "staleness.png", "step_shares.png"])
