"""Runs every suite of a built preset and counts single tests; called by tests/run.

C++ suites run under ctest, each binary writing its Google Test report; Python suites
(tests/*/*_test.py) run as one process each. A suite that dies without a report counts as one
failure. Lines of a suite's output that begin with `report: ` are repeated on the screen: that is
how the simulator shows its counts of faults.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
SANITIZER_PRESETS = ("asan", "tsan")
SUITE_TIMEOUT_S = 600
OUTPUT_BYTES_MAX = 1 << 20


class Tally:
    """Counts over all suites, one line on the screen for each."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, suite, passed, failed, skipped, seconds, output):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        verdict = "FAILED" if failed else "ok"
        counts = f"{passed} passed" + (f", {failed} failed" if failed else "")
        counts += f", {skipped} skipped" if skipped else ""
        print(f"{verdict:6} {suite:40} {counts}  ({seconds:.1f} s)")
        if failed:
            print("\n".join("       | " + line for line in output.splitlines()))
        else:
            for line in output.splitlines():
                if line.startswith(("report: ", "skipped: ")):
                    print("       " + line)
        sys.stdout.flush()

    def closing_line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def sanitizer_environment(preset):
    """Suppressions name only libraries that are not instrumented."""
    if preset == "tsan":
        suppressions = ROOT / "tests/sanitizer/suppressions.txt"
        return {"TSAN_OPTIONS": f"suppressions={suppressions} second_deadlock_stack=1"}
    if preset == "asan":
        return {
            "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
    return {}


def fixed_addresses(preset):
    """gcc 12's thread sanitizer gives up where the kernel randomizes more bits than it knows."""
    setarch = shutil.which("setarch")
    if preset != "tsan" or not setarch:
        return []
    command = [setarch, "-R"]
    works = subprocess.run(command + ["true"], capture_output=True, check=False).returncode == 0
    return command if works else []


def ctest_names(build, exclude):
    listing = subprocess.run(["ctest", "--show-only=json-v1", *exclude], cwd=build,
                             capture_output=True, text=True, check=True)
    return [test["name"] for test in json.loads(listing.stdout)["tests"]]


def google_test_counts(report):
    """(passed, failed, skipped) of one Google Test JSON report."""
    failed = skipped = total = 0
    for suite in json.loads(report.read_text())["testsuites"]:
        for test in suite["testsuite"]:
            if test["status"] != "RUN":
                continue
            total += 1
            failed += "failures" in test
            skipped += test.get("result") == "SKIPPED" or "skipped" in test
    return total - failed - skipped, failed, skipped


def add_ctest_entry(entry, reports, tally):
    name = entry.get("name")
    output = entry.findtext("system-out") or ""
    broken = entry.get("status") == "fail"
    report = reports / f"{name}.json"
    passed, failed, skipped = int(not broken), 0, 0
    if report.exists():
        passed, failed, skipped = google_test_counts(report)
    if broken and not failed:
        failed = 1
        problem = entry.find("failure")
        output += "\n" + (problem.get("message", "") if problem is not None else "")
    if passed + failed + skipped:
        tally.add(name, passed, failed, skipped, float(entry.get("time", 0)), output)


def run_ctest(options, tally):
    build = ROOT / "build" / options.preset
    exclude = ["-LE", "process"] if options.preset in SANITIZER_PRESETS else []
    names = ctest_names(build, exclude)
    environment = dict(os.environ, **sanitizer_environment(options.preset))
    selection = []
    if options.filter:
        if any(options.filter in name for name in names):
            selection = ["-R", options.filter]
        else:
            environment["GTEST_FILTER"] = f"*{options.filter}*"
    if options.seeds:
        environment["BALLAST_TEST_SEEDS"] = str(options.seeds)
    reports = build / "test-reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    environment["GTEST_OUTPUT"] = f"json:{reports}/"
    junit = reports / "ctest.xml"
    subprocess.run(
        fixed_addresses(options.preset) +
        ["ctest", "-Q", "-j", str(os.cpu_count()), "--timeout", str(SUITE_TIMEOUT_S),
         "--no-tests=ignore", "--output-junit", str(junit),
         "--test-output-size-passed", str(OUTPUT_BYTES_MAX),
         "--test-output-size-failed", str(OUTPUT_BYTES_MAX), *exclude, *selection],
        cwd=build, env=environment, stdout=subprocess.DEVNULL, check=False)
    if not junit.exists():
        tally.add("ctest", 0, 1, 0, 0, "ctest wrote no report")
        return
    for entry in ElementTree.parse(junit).getroot().iter("testcase"):
        add_ctest_entry(entry, reports, tally)


def run_python_suite(path, options):
    """-> (name, passed, failed, skipped, seconds, output) of one *_test.py."""
    name = str(path.relative_to(ROOT / "tests")).removesuffix(".py")
    start = time.monotonic()
    command = ["/usr/bin/python3", str(ROOT / "tests/support/python_suite.py"), str(path)]
    if options.filter and options.filter not in name:
        command += ["--filter", options.filter]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                              timeout=SUITE_TIMEOUT_S, check=False)
        output, lines = done.stderr, done.stdout.strip().splitlines()
    except subprocess.TimeoutExpired as expired:
        output, lines = f"did not end within {expired.timeout} s", []
    try:
        counts = json.loads(lines[-1])
        return (name, counts["passed"], counts["failed"], counts["skipped"],
                time.monotonic() - start, output)
    except (IndexError, ValueError, KeyError, TypeError):
        return name, 0, 1, 0, time.monotonic() - start, output + "\nended without a result"


def run_python(options, tally):
    suites = sorted((ROOT / "tests").glob("*/*_test.py"))
    # Process tests use every core themselves and bound times: one after the other.
    alone = [suite for suite in suites if suite.parent.name == "process"]
    together = [suite for suite in suites if suite not in alone]
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(lambda suite: run_python_suite(suite, options), together))
    for result in results + [run_python_suite(suite, options) for suite in alone]:
        if any(result[1:4]):
            tally.add(*result)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="release")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--filter")
    options = parser.parse_args()

    tally = Tally()
    run_ctest(options, tally)
    if options.preset not in SANITIZER_PRESETS:
        run_python(options, tally)
    if not tally.passed + tally.failed + tally.skipped:
        tally.add("selection", 0, 1, 0, 0, f"no test matches {options.filter!r}")
    print(tally.closing_line())
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
