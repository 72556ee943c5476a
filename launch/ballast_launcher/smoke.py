"""`run --smoke N`: N steps of everything a job does, each reported ok or failed."""

import dataclasses

from .binaries import binary
from .errors import DONE, LauncherError
from .run import call_tool, run_job


STEPS_MAX = 1_000_000  # a smoke test of more is a run


class Smoke:
    def __init__(self, request, steps):
        if request.resume:
            raise LauncherError("--smoke makes a run of its own: give it the job file "
                                f"({request.resume}/job.toml) instead of --resume")
        if steps > STEPS_MAX:
            raise LauncherError(f"--smoke {steps}: expected at most {STEPS_MAX} steps")
        self.request = request
        self.steps = steps
        self.run_dir = None

    def train_to(self, steps):
        limit = (*self.request.settings, f"train.max_steps={steps}")
        changes = {"settings": limit, "quiet": True}
        if self.run_dir:
            changes |= {"resume": str(self.run_dir.path), "run_dir": None, "job": None}
        result = run_job(dataclasses.replace(self.request, **changes))
        self.run_dir = result.run_dir
        if result.exit_code != DONE:
            raise LauncherError(result.message.removeprefix("ballast: "), result.exit_code)

    def tool(self, *words):
        call_tool([binary(self.request.bin_dir, "ballast-tool"), *words])

    def train(self):
        self.train_to(self.steps)
        done = (self.run_dir.summary() or {}).get("steps", self.steps)
        if done < self.steps:
            raise LauncherError(f"--smoke {self.steps}: the whole job has only {done} steps; "
                                f"choose at most {max(1, done // 2)}")

    def evaluate(self):
        test = (self.run_dir.config().get("data") or {}).get("test")
        if not test:
            return "skipped: the job has no data.test"
        self.tool("evaluate", str(self.run_dir.path), test)
        return "ok"

    def checkpoint(self):
        if self.run_dir.newest_checkpoint() is None:
            raise LauncherError(f"no checkpoint was written in {self.run_dir.shown()}", 3)

    def resume(self):
        self.train_to(2 * self.steps)

    def export(self):
        self.tool("export", str(self.run_dir.path), "--out",
                  str(self.run_dir.path / "smoke.safetensors"))

    def run(self):
        stages = [(f"train {self.steps} steps", self.train), ("evaluate", self.evaluate),
                  ("checkpoint", self.checkpoint), (f"resume to {2 * self.steps}", self.resume),
                  ("export", self.export)]
        for name, stage in stages:
            try:
                verdict = stage() or "ok"
            except LauncherError:
                print(f"smoke: {name:20} failed", flush=True)
                raise
            print(f"smoke: {name:20} {verdict}", flush=True)
        print(f"run directory: {self.run_dir.shown()}")
        return DONE
