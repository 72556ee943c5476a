#!/usr/bin/python3
"""Stands in for ballast-tool, -coordinator, -server, -worker and -feeder in the launcher's tests.

Which of them it is follows from the name it is called by. The [fake] table of the job file says what
to do: `steps`, `step_seconds`, and for one process a misfortune:
  who = "worker-1", at_step = 3, misfortune = one of
  kill (SIGKILL to itself), exit (code `code`, no report), report (failure report, exit `code`),
  hang (ignores SIGTERM and the end of the job).
Where one was killed the others stand still. With `stale_status` the coordinator writes its status
once; with `untrained` it stays at step 0, with `unready` it does not know Ctrl-C yet; with
`log_losses` the others log where they lost the victim. With `peers_react` the others notice the
misfortune, report it and exit 3.
"""

import json
import os
import pathlib
import signal
import sys
import time
import tomllib


def argument(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def write_whole(path, value):
    fresh = path.with_suffix(f".tmp{os.getpid()}")
    fresh.write_text(value if isinstance(value, str) else json.dumps(value))
    fresh.rename(path)


def to_toml(config):
    lines = []
    for table, keys in config.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def set_key(config, setting):
    path, _, value = setting.partition("=")
    table, key = path.split(".")
    try:
        value = json.loads(value)
    except ValueError:
        pass
    config.setdefault(table, {})[key] = value


def tool():
    """resolve: writes the two files; `[fake] refuse` is the error it prints. Others: says so."""
    if sys.argv[1] != "resolve":
        print("tool called with " + " ".join(sys.argv[1:]))
        sys.exit(4 if "fail" in sys.argv else 0)
    resumed = argument("--resume")
    text = pathlib.Path(f"{resumed}/config.toml" if resumed else sys.argv[2]).read_text()
    config = tomllib.loads(text)
    for position, word in enumerate(sys.argv):
        if word == "--set":
            set_key(config, sys.argv[position + 1])
    if config["fake"].get("refuse"):
        print(config["fake"]["refuse"], file=sys.stderr)
        sys.exit(2)
    if "--dry-run" in sys.argv:
        print("shapes")
        return
    run_dir = pathlib.Path(argument("--run-dir"))
    if not resumed:
        write_whole(run_dir / "job.toml", text)
    write_whole(run_dir / "config.toml", to_toml(config))
    write_whole(run_dir / "called.json", sys.argv[1:])
    for name in ("over", "victim"):
        (run_dir / name).unlink(missing_ok=True)


class Process:
    def __init__(self, role):
        self.role = role
        self.index = int(argument("--index") or 0)
        self.run_dir = pathlib.Path(argument("--run-dir"))
        config = tomllib.loads((self.run_dir / "config.toml").read_text())
        self.fake, self.cluster = config["fake"], config["cluster"]
        self.mode = config.get("train", {}).get("mode", "sync")
        self.steps = self.fake.get("steps", 3)
        self.step = 0
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.ask)

    def ask(self, number, _):
        if number == signal.SIGTERM:
            os._exit(143)
        self.asked = True

    @property
    def name(self):
        return f"{self.role}-{self.index}"

    def report(self, when):
        write_whole(self.run_dir / f"logs/{self.name}.failure.json", {
            "role": self.role, "index": self.index, "host": "here", "time": when,
            "step": self.step, "chain": [f"loss is nan on {self.name}", "while testing"],
            "log_tail": ["a line"]})

    def suffer(self):
        if self.fake.get("who") != self.name or self.fake.get("at_step") != self.step:
            return
        kind = self.fake["misfortune"]
        print(f"{self.name} meets {kind}", flush=True)
        if kind == "report":
            self.report(time.time())
        (self.run_dir / "victim").write_text(self.name)
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            time.sleep(60)
        sys.exit(self.fake.get("code", 3))

    def react(self):
        """A peer that notices another's death reports it and gives up."""
        if self.fake.get("peers_react") and (self.run_dir / "victim").exists():
            self.report(time.time())
            sys.exit(3)

    def stands_still(self):
        return self.fake.get("misfortune") == "kill" and (self.run_dir / "victim").exists()

    def log_loss(self):
        log = self.run_dir / f"logs/{self.name}.log"
        if self.fake.get("log_losses") and self.stands_still() and not log.exists():
            log.write_text(f"12:00 INFO {self.name} lost {self.fake['who']}#7 step={self.step}\n")

    def tick(self):
        self.suffer()
        self.react()
        self.log_loss()
        time.sleep(self.fake.get("step_seconds", 0.02))
        self.step += not (self.stands_still() or self.fake.get("untrained"))


class Coordinator(Process):
    def show(self, state):
        if self.fake.get("stale_status") and self.step > 1:
            return
        workers = [{"index": index, "state": "computing", "clock": self.step,
                    "samples_per_second": 100.0} for index in range(self.cluster["workers"])]
        write_whole(self.run_dir / "status.json", {
            "state": state, "epoch": 1, "epochs": 1, "step": self.step, "steps": self.steps,
            "loss": 0.5, "samples_per_second": 1234.5, "staleness_mean": 0.25, "metrics": {},
            "workers": workers, "waiting_for": None})

    def checkpoint(self):
        folder = self.run_dir / f"checkpoints/{self.step:020d}"
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "manifest", "whole")

    def run(self):
        (self.run_dir / "sockets").mkdir(exist_ok=True)
        if self.fake.get("unready"):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        while self.step < self.steps and not self.asked:
            self.show("running")
            self.tick()
            if self.fake.get("checkpoint_at") == self.step:
                self.checkpoint()
        if self.asked and self.fake.get("deaf"):
            time.sleep(60)
        if self.asked:
            if not self.fake.get("untrained"):
                self.checkpoint()
            write_whole(self.run_dir / "over", "75")
            sys.exit(75)
        with open(self.run_dir / "metrics.jsonl", "a") as file:
            file.write(json.dumps({"step": self.step, "epoch": 1, "time": 0.1 * self.step,
                                   "train_loss": 0.5, "test_accuracy": 0.97}) + "\n")
        self.checkpoint()
        if not self.fake.get("no_summary"):
            write_whole(self.run_dir / "summary.json", {
                "mode": self.mode, "steps": self.step, "epochs": 1, "samples": 100,
                "wall_seconds": 1.5, "samples_per_second": 66.7,
                "metrics": {"test_accuracy": 0.97}, "weights_xxh3": "0123456789abcdef",
                "bytes_pushed": 4096, "bytes_pulled": 8192,
                "staleness": {"mean": 0.5, "max": 2, "histogram": [3, 2, 1]},
                "shares": {"load": 0.1, "compute": 0.6, "push": 0.1, "wait": 0.1, "pull": 0.1}})
        write_whole(self.run_dir / "over", "0")


class Follower(Process):
    def run(self):
        (self.run_dir / f"{self.name}.pid").write_text(str(os.getpid()))
        while not (self.run_dir / "over").exists():
            self.tick()
        sys.exit(int((self.run_dir / "over").read_text()))


def main():
    program = pathlib.Path(sys.argv[0]).name
    if program == "ballast-tool":
        tool()
    elif program == "ballast-coordinator":
        Coordinator("coordinator").run()
    else:
        Follower(program.removeprefix("ballast-")).run()


main()
