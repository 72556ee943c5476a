"""Runs every suite of a built preset and counts single tests; called by tests/run.

C++ suites run under ctest, each binary writing its Google Test report; Python suites
(tests/*/*_test.py) run as one process each. A suite that dies without a report counts as one
failure. What the simulations print, their counts of faults and replies, is shown.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
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

    def add(self, suite, passed, failed, skipped, seconds, output, show_output=False):
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
                if show_output or line.startswith("skipped: "):
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


def listed_tests(build, exclude):
    """ctest's tests: [(name, command, labels)]."""
    listing = subprocess.run(["ctest", "--show-only=json-v1", *exclude], cwd=build,
                             capture_output=True, text=True, check=True)
    tests = []
    for test in json.loads(listing.stdout)["tests"]:
        properties = {entry["name"]: entry["value"] for entry in test.get("properties", [])}
        tests.append((test["name"], test.get("command", []), properties.get("LABELS", [])))
    return tests


def holds_test(command, text):
    """Whether a Google Test binary has a test whose full name contains `text`."""
    program = pathlib.Path(command[0]) if command else None
    if not program or not program.is_file() or b"gtest_list_tests" not in program.read_bytes():
        return False
    listing = subprocess.run([command[0], "--gtest_list_tests"], capture_output=True, text=True,
                             check=False)
    suite = ""
    for line in listing.stdout.splitlines():
        if not line.startswith(" "):
            suite = line.split()[0]
        elif text in suite + line.split()[0]:
            return True
    return False


def selection(tests, text):
    """-> (names of the chosen ctest entries, filter inside them)."""
    by_name = [name for name, _, _ in tests if text in name]
    if by_name or not text:
        return by_name, None
    return [name for name, command, _ in tests if holds_test(command, text)], f"*{text}*"


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


def without_passed(output):
    """What a Google Test binary printed, less its tests that passed and printed nothing: whoever
    reads a log is shown its first lines, and they should be of the test that failed."""
    kept = []
    for line in output.splitlines():
        if line.startswith("[       OK ]") and kept and kept[-1].startswith("[ RUN      ]"):
            kept.pop()
        elif line.strip() and not line.startswith("[-----"):
            kept.append(line)
    return "\n".join(kept)


def add_ctest_entry(entry, reports, show_output, tally):
    name, status = entry.get("name"), entry.get("status")
    output = entry.findtext("system-out") or ""
    reasons = [child.get("message", "") for tag in ("failure", "skipped")
               for child in entry.findall(tag)]
    # A test that ctest could not start (no executable) is a failure; one that says so is a skip.
    skips = status == "notrun" and any(reason.startswith("SKIP_") for reason in reasons)
    broken = status != "run" and not skips
    passed, failed, skipped = int(not broken and not skips), 0, int(skips)
    report = reports / f"{name}.json"
    if report.exists():
        passed, failed, skipped = google_test_counts(report)
    if broken and not failed:
        failed = 1
        output = "\n".join([output, *reasons])
    if failed:
        output = without_passed(output)
    if passed + failed + skipped:
        tally.add(name, passed, failed, skipped, float(entry.get("time", 0)), output, show_output)


def run_with_seeds(test, seeds, prefix, environment, tally):
    """A simulation with its own number of seeds replaced by the one asked for."""
    name, command, _ = test
    command = list(command)
    command[command.index("--seeds") + 1] = str(seeds)
    start = time.monotonic()
    done = subprocess.run(prefix + command, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    passed = int(done.returncode == 0)
    tally.add(name, passed, 1 - passed, 0, time.monotonic() - start, done.stdout, True)


def run_ctest(options, tally):
    build = ROOT / "build" / options.preset
    exclude = ["-LE", "process"] if options.preset in SANITIZER_PRESETS else []
    environment = dict(os.environ, **sanitizer_environment(options.preset))
    prefix = fixed_addresses(options.preset)

    tests = listed_tests(build, exclude)
    names, inner_filter = selection(tests, options.filter)
    if inner_filter:
        environment["GTEST_FILTER"] = inner_filter
    chosen = [test for test in tests if test[0] in names]
    if options.seeds:
        for test in [test for test in chosen if "--seeds" in test[1]]:
            run_with_seeds(test, options.seeds, prefix, environment, tally)
            chosen.remove(test)
    if not chosen:
        return

    reports = build / "test-reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    environment["GTEST_OUTPUT"] = f"json:{reports}/"
    junit = reports / "ctest.xml"
    exact = "^(" + "|".join(re.escape(name) for name, _, _ in chosen) + ")$"
    subprocess.run(
        prefix +
        ["ctest", "-Q", "-j", str(os.cpu_count()), "--timeout", str(SUITE_TIMEOUT_S),
         "--no-tests=ignore", "--output-junit", str(junit), "-R", exact, *exclude,
         "--test-output-size-passed", str(OUTPUT_BYTES_MAX),
         "--test-output-size-failed", str(OUTPUT_BYTES_MAX)],
        cwd=build, env=environment, stdout=subprocess.DEVNULL, check=False)
    if not junit.exists():
        tally.add("ctest", 0, 1, 0, 0, "ctest wrote no report")
        return
    simulations = {name for name, _, labels in chosen if "simulation" in labels}
    for entry in ElementTree.parse(junit).getroot().iter("testcase"):
        add_ctest_entry(entry, reports, entry.get("name") in simulations, tally)


def run_python_suite(path, options):
    """-> (name, passed, failed, skipped, seconds, output) of one *_test.py."""
    name = str(path.relative_to(ROOT / "tests")).removesuffix(".py")
    start = time.monotonic()
    command = ["/usr/bin/python3", str(ROOT / "tests/support/python_suite.py"), str(path)]
    if options.filter and options.filter not in name:
        command += ["--filter", options.filter]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                              env=dict(os.environ, BALLAST_TEST_PRESET=options.preset),
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


def overtime(seconds, minutes_max):
    """What to say of a run that took too long, or nothing. 0: it may take as long as it likes."""
    if not minutes_max or seconds <= 60 * minutes_max:
        return None
    return (f"tests/run took {seconds / 60:.1f} minutes, build included; expected at most "
            f"{minutes_max:g}: the seconds behind each suite show where they went")


def main():
    started = time.monotonic()
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="release")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--filter", default="")
    parser.add_argument("--spent-s", type=float, default=0, help="before this program")
    parser.add_argument("--minutes-max", type=float, default=0, help="for all; 0: no limit")
    options = parser.parse_args()

    tally = Tally()
    run_ctest(options, tally)
    if options.preset not in SANITIZER_PRESETS:
        run_python(options, tally)
    if not tally.passed + tally.failed + tally.skipped:
        tally.add("selection", 0, 1, 0, 0, f"no test matches {options.filter!r}")
    seconds = options.spent_s + time.monotonic() - started
    if too_long := overtime(seconds, options.minutes_max):
        tally.add("time", 0, 1, 0, seconds, too_long)
    print(tally.closing_line())
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
