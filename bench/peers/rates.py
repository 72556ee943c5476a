"""What the comparisons of loaders share: counting rows a second, theirs and ours."""

import re
import subprocess
import time


def rows_per_second(loader, expected, rows_of):
    """Of the second pass over `loader`: the first one starts its workers and warms what it keeps, as
    ours is open and warm before its clock starts. rows_of(batch) is how many rows a batch has."""
    for _ in range(2):
        start = time.monotonic()
        count = sum(rows_of(batch) for batch in loader)
        seconds = time.monotonic() - start
        assert count == expected, f"{count} rows, {expected} expected"
    return count / seconds


def ours(program, smoke, pattern):
    """{what: rows/s of wall time} of a bench of ours; `pattern` finds both in its lines."""
    # Its exit code tells of its own bounds.
    command = [program] + (["--smoke"] if smoke else [])
    text = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout
    return {what: float(speed) for what, speed in re.findall(pattern, text, re.M)}
