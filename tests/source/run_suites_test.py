"""What tests/run prints of a run: too long a one fails, a suite that failed shows what failed."""

import unittest

import launching
import run_suites
from launching import ROOT


class FailedSuite(unittest.TestCase):
    def test_shows_what_its_tests_printed_and_not_those_that_passed_in_silence(self):
        printed = ("[----------] 3 tests from Disk\n"
                   "[ RUN      ] Disk.IsQuiet\n[       OK ] Disk.IsQuiet (1 ms)\n"
                   "[ RUN      ] Disk.Races\nWARNING: data race\n\n"
                   "[       OK ] Disk.Races (2 ms)\n"
                   "[ RUN      ] Disk.Fails\ndisk_test.cc:7: Failure\n"
                   "[  FAILED  ] Disk.Fails (3 ms)\n")

        shown = run_suites.without_passed(printed)

        self.assertEqual(shown.splitlines(),
                         ["[ RUN      ] Disk.Races", "WARNING: data race",
                          "[       OK ] Disk.Races (2 ms)",
                          "[ RUN      ] Disk.Fails", "disk_test.cc:7: Failure",
                          "[  FAILED  ] Disk.Fails (3 ms)"])


class TimeLimit(unittest.TestCase):
    def setUp(self):
        if not (ROOT / "build/release/CTestTestfile.cmake").is_file():
            self.skipTest("build/release is not configured")

    def run_one_suite(self, *words):
        return launching.run(ROOT / "tests/support/run_suites.py", "--filter",
                             "test_headers_are_guarded", *words, cwd=ROOT, program="/usr/bin/python3")

    def test_too_long_a_run_is_one_failure_in_one_sentence(self):
        done = self.run_one_suite("--spent-s", 1201, "--minutes-max", 20)

        self.assertEqual(done.returncode, 1)
        self.assertIn("tests/run took 20.", done.stdout)
        self.assertIn("minutes, build included; expected at most 20", done.stdout)
        self.assertEqual(launching.last_line(done.stdout), "1 passed, 1 failed, 0 skipped")

    def test_a_run_in_time_or_without_a_limit_passes(self):
        for words in (("--spent-s", 600, "--minutes-max", 20), ("--spent-s", 9000)):
            with self.subTest(words=words):
                done = self.run_one_suite(*words)

                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertEqual(launching.last_line(done.stdout), "1 passed, 0 failed, 0 skipped")
