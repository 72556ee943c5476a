"""Runs one unittest file; the last line on stdout is {"passed", "failed", "skipped"} as JSON."""

import argparse
import importlib.util
import json
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def matching(suite, text):
    """The tests of `suite`, flattened, whose full name contains `text`."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from matching(item, text)
        elif text in item.id():
            yield item


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--filter", default="")
    options = parser.parse_args()

    sys.dont_write_bytecode = True
    sys.path[:0] = [str(options.file.parent), str(ROOT / "launch"), str(ROOT / "tests/support")]
    spec = importlib.util.spec_from_file_location(options.file.stem, options.file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[options.file.stem] = module
    spec.loader.exec_module(module)

    tests = unittest.defaultTestLoader.loadTestsFromModule(module)
    chosen = unittest.TestSuite(matching(tests, options.filter))
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=1).run(chosen)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    for reason in sorted({reason for _, reason in result.skipped}):
        print(f"skipped: {reason}", file=sys.stderr)
    skipped = len(result.skipped)
    passed = max(0, result.testsRun - failed - skipped)
    print(json.dumps({"passed": passed, "failed": failed, "skipped": skipped}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
