"""The packages of others that a comparison needs."""

import importlib.util
import sys

SKIPPED = 77


def need(*packages):
    """Ends the bench as skipped where one is missing."""
    missing = [package for package in packages if not importlib.util.find_spec(package)]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed (bench/peers/README.md)")
        sys.exit(SKIPPED)
