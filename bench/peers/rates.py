"""What the comparisons of loaders share: counting rows a second, theirs and ours."""

import re
import subprocess
import time


def rows_per_second(loader, expected, rows_of):
    """Of one pass over `loader`; rows_of(batch) is how many rows a batch has."""
    start = time.monotonic()
    count = sum(rows_of(batch) for batch in loader)
    assert count == expected, f"{count} rows, {expected} expected"
    return count / (time.monotonic() - start)


def ours(program, smoke, pattern):
    """{what: rows/s of wall time} of a bench of ours; `pattern` finds both in its lines."""
    # Its exit code tells of its own bounds.
    command = [program] + (["--smoke"] if smoke else [])
    text = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout
    return {what: float(speed) for what, speed in re.findall(pattern, text, re.M)}
