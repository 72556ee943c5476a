"""What one call of bench/gpu/run found: the table, and the record that bench/run puts on its page."""

import json
import os
import subprocess
import time

import provenance

# Of every precision: what the card can do of the same, in the same call.
COPIES = ("add", "copy on the device")
PRODUCT = "torch, product"
LINKS = ("upload", "download")  # not by the card's own memory


class NoCard(Exception):
    """One line: what, expected, found, what to do."""


class Record:
    def __init__(self, bounds, card):
        self.bounds, self.card = bounds, card
        self.figures = {}  # name -> (value, unit)
        self.wrong = []
        self.left_out = []
        self._load_before = os.getloadavg()

    def add(self, name, value, unit):
        self.figures[name] = (value, unit)

    def value(self, name):
        """None: its stage was not run."""
        return self.figures.get(name, (None,))[0]

    def share(self, name):
        """Of the card's fastest copy or PyTorch's product in the same precision; None: not held against."""
        value, unit = self.figures[name]
        precision, _, what = name.partition(": ")
        most = {"GB/s": COPIES, "TFLOP/s": (PRODUCT,)}.get(unit, ())
        if what in LINKS:
            return None
        known = [found for found in (self.value(f"{precision}: {ceiling}") for ceiling in most) if found]
        return value / max(known) if known else None

    def lines(self):
        found = []
        for name, (value, unit) in self.figures.items():
            share = self.share(name)
            line = f"{name:<60} {value:>14.3f} {unit:<10}"
            found.append((line if share is None else f"{line} {share:>5.2f} of the card's").rstrip())
        return [*found, *self.bounds.lines, *(f"left out: {line}" for line in self.left_out),
                *(f"wrong: {line}" for line in self.wrong)]

    def exit_code(self):
        return 3 if self.wrong or self.bounds.exit_code() else 0

    def write(self, path, command, commit):
        record = {"name": "gpu", "command": command, "commit": commit,
                  "machine": f"{provenance.machine()}, {self.card}", "card": self.card,
                  "load_average_before": self._load_before,
                  "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                  "exit_code": self.exit_code(), "load_average_after": os.getloadavg(),
                  "output": self.lines(),
                  "figures": {name: {"value": value, "unit": unit, "share": self.share(name)}
                              for name, (value, unit) in self.figures.items()},
                  "bounds": self.bounds.judged, "wrong": self.wrong, "left_out": self.left_out}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def card_of(device, source):
    """Name, memory and driver, as the driver says them, or the file `card` in a folder made for a GPU
    that the processor plays."""
    if device == "cpu":
        return "no card"
    played = source / "card" if source else None
    if played and played.is_file():
        return played.read_text(encoding="utf-8").strip()
    words = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        found = " ".join((done.stdout + done.stderr).split()) or "nothing"
        if done.returncode == 0 and done.stdout.strip():
            return "; ".join(done.stdout.strip().splitlines())
    except (OSError, subprocess.TimeoutExpired) as error:
        found = getattr(error, "strerror", None) or "no answer in 60 s"
    raise NoCard(f"looking for a GPU: a card expected of nvidia-smi, found: {found}; run this where "
                 "there is one, or with --device cpu --smoke")


def packed_commit(source):
    path = source / "commit" if source else None
    return path.read_text(encoding="utf-8").strip() if path and path.is_file() else None
