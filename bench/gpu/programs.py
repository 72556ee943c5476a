"""Runs the programs of a build, or of a folder made by `bench/gpu/run --pack`, within the time of one call."""

import json
import os
import pathlib
import signal
import subprocess
import time

import jobs

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUDGET_SECONDS = 480


class Wrong(Exception):
    """Ends a stage; said once more at the end of the call."""


class Programs:
    def __init__(self, source, device, smoke):
        """source: a folder made by --pack; none: build/release."""
        self.source, self.device, self.smoke = source, device, smoke
        self._deadline = time.monotonic() + BUDGET_SECONDS
        self._launcher = source / "ballast" if source else ROOT / "launch/ballast"
        self._examples = (source or ROOT / "launch") / "examples"

    @property
    def judged(self):
        """Whether the sizes are those that the bounds are about."""
        return self.device == "cuda" and not self.smoke

    @property
    def precisions(self):
        return ("fp32", "tf32", "bf16") if self.device == "cuda" else ("fp32",)

    def path(self, name):
        if self.source:
            return self.source / "bin" / name
        found = [path for path in (ROOT / "build/release").rglob(name) if os.access(path, os.X_OK)]
        if not found:
            raise Wrong(f"{name} is not in build/release; build it with launch/build")
        return found[0]

    def example(self, name):
        return self._examples / name

    def run(self, *words):
        """Its output; Wrong when it fails, or takes longer than what is left of the call."""
        words = [str(word) for word in words]
        seconds = max(1.0, self._deadline - time.monotonic())
        print("$", " ".join(words), flush=True)
        try:
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       text=True, start_new_session=True, cwd=self.source or ROOT)
        except OSError as error:
            raise Wrong(f"cannot start {words[0]}: {error.strerror}; make DIR with --pack, or install "
                        "it") from error
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise Wrong(f"{words[0]} took more than the {seconds:.0f} s that were left of the "
                        f"{BUDGET_SECONDS}") from error
        finally:
            if process.poll() is None:  # also what it started: the card is the next one's
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        print(output, end="", flush=True)
        if process.returncode != 0:
            raise Wrong(f"{words[0]} ended with {process.returncode}")
        return output

    def script(self, python, path):
        smoke = ["--smoke"] if self.smoke else []
        return self.run(python, path, "--device", self.device, *smoke)

    def device_bench(self, precision):
        smoke = ["--smoke"] if self.smoke else []
        return self.run(self.path("device_bench"), "--device", self.device, "--precision", precision,
                        *smoke)

    def convert(self, *words):
        return self.run(self._launcher, "data", "convert", *words)

    def digits(self):
        """Settings of a job that name the digits: a bundle brings them, a checkout has to make them."""
        folder = self.source / "data/digits" if self.source else jobs.digits("gpu")
        return {"data.train": folder / "train", "data.test": folder / "test"}

    def job(self, job, run_dir, settings, *options):
        """summary.json of a job on the device."""
        flags = [word for key, value in {"cluster.device": self.device, **settings}.items()
                 for word in ("--set", f"{key}={value}")]
        self.run(self._launcher, "run", job, "--quiet", "--run-dir", run_dir, *flags, *options)
        return json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
