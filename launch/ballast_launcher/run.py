"""The story of one job: resolve, start, watch, end, report."""

import contextlib
import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
import threading
import tomllib

from . import display as displays
from . import failure, text, trace
from .binaries import binary
from .errors import BAD_INPUT, DONE, FAILED, STOPPED, STOPPED_NOW, LauncherError, ToolError
from .feeders import Feeders, on_this_host
from .processes import Cluster, die_with_parent
from .run_directory import RunDirectory, new_path, step_of
from .supervisor import LINGER_S, Ending, StopSignals, Supervisor

JOB_BYTES_MAX = 1 << 20  # as common/config/job_text.cc
PROGRAMS = ("ballast-tool", "ballast-coordinator", "ballast-server", "ballast-worker",
            "ballast-feeder")
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+ [a-z]+ ballast-tool ")  # as common/base/log.cc


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user asked for."""

    bin_dir: pathlib.Path
    job: str | None = None
    settings: tuple = ()  # key=value, later ones win
    run_dir: str | None = None
    resume: str | None = None
    quiet: bool = False
    trace: bool = False


@dataclasses.dataclass(frozen=True)
class Result:
    run_dir: RunDirectory
    exit_code: int
    message: str

    def show(self):
        """The last words: results to stdout, everything else to stderr."""
        sys.stdout.flush()
        print(self.message, file=sys.stdout if self.exit_code == DONE else sys.stderr, flush=True)


def command_line(*words):
    """A command as the user would type it, starting with how they called us."""
    return shlex.join([sys.argv[0] or "launch/ballast", *words])


def check_job_file(path):
    """A job file is a small regular file. Whatever is wrong inside it, ballast-tool reports."""
    job = pathlib.Path(path)
    if job.is_dir():
        hint = ""
        if (job / "config.toml").is_file():
            hint = f"; to go on with the run in it: {command_line('run', '--resume', str(path))}"
        raise LauncherError(f"{path}: a folder; expected a job file in TOML{hint}")
    if job.exists() and not job.is_file():
        raise LauncherError(f"{path}: not a regular file; expected a job file in TOML")
    if job.exists() and job.stat().st_size > JOB_BYTES_MAX:
        raise LauncherError(f"{path}: {job.stat().st_size} bytes; expected a job file in TOML of at "
                            f"most {JOB_BYTES_MAX}")


def job_name(job, settings):
    """For the folder's name only: whatever is wrong with the job is reported by ballast-tool."""
    name = pathlib.Path(job).stem
    try:
        name = tomllib.loads(pathlib.Path(job).read_text(encoding="utf-8"))["job"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    for setting in settings:
        key, _, value = setting.partition("=")
        if key.strip() == "job.name":
            name = value.strip().strip("\"'")
    return str(name)


def resolve_command(request, *words):
    command = [binary(request.bin_dir, "ballast-tool"), "resolve", *words]
    for setting in request.settings:
        command += ["--set", setting]
    return command


def run_tool(command, show_output):
    """-> a CompletedProcess. Lines of its log, which say what it waits for, are shown at once; what
    else it says on stderr is kept."""
    words = []

    def pass_on(lines):
        for line in lines:
            if LOG_LINE.match(line):
                with contextlib.suppress(OSError):  # nobody is there to read it
                    print(line, end="", file=sys.stderr, flush=True)
            else:
                words.append(line)

    with subprocess.Popen(command, stdin=subprocess.DEVNULL,
                          stdout=None if show_output else subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, errors="replace",
                          preexec_fn=die_with_parent(os.getpid())) as tool:
        listener = threading.Thread(target=pass_on, args=(tool.stderr,))
        listener.start()
        output = None if show_output else tool.stdout.read()
        code = tool.wait()
        listener.join()
    return subprocess.CompletedProcess(command, code, output, "".join(words))


def call_tool(command, signals=None, show_output=False, stop_code=STOPPED_NOW):
    """Runs a ballast-tool command that is part of ours -> what it printed. Its own message on stderr
    is enough. `stop_code`: what a request to stop, counted by `signals`, ends us with."""
    done = run_tool(command, show_output)
    if signals and signals.count:
        raise LauncherError("stopped before the job was started; the same command starts it",
                            stop_code)
    if done.returncode == 0:
        return done.stdout or ""
    what = f"{os.path.basename(command[0])} {command[1]}"
    exit_code = done.returncode if done.returncode > 0 else FAILED
    if done.stderr.strip():
        raise ToolError(done.stderr.rstrip(), exit_code)
    raise LauncherError(f"{what} {failure.how_it_died(done.returncode)}", exit_code)


def reopened(request):
    """The run goes on with its own config.toml. A JOB.toml may be named, not exchanged: ballast-tool
    compares the two."""
    if request.run_dir:
        raise LauncherError("--resume continues in its own folder; leave out --run-dir")
    run_dir = RunDirectory.reopen(request.resume)
    if request.job:
        check_job_file(request.job)
    return run_dir


class Job:
    """One start of one job, new or resumed."""

    def __init__(self, request, signals):
        self.request = request
        self.signals = signals
        self.cluster = Cluster()
        self.feeders = None  # once the config is known
        self.origin = None  # of a trace: when the first process was started
        self.trace_lines = []  # where the trace is
        self.notes = []  # what the tool says of settings that work but help nobody
        for program in PROGRAMS:
            binary(request.bin_dir, program)
        self.run_dir = reopened(request) if request.resume else self.created()

    def created(self):
        request = self.request
        if not request.job:
            raise LauncherError("which job? give a JOB.toml, or --resume DIR")
        check_job_file(request.job)
        return RunDirectory.create(request.run_dir or
                                   new_path(job_name(request.job, request.settings)))

    def resolve(self):
        """Writes job.toml and config.toml; a new folder does not outlive a refused job."""
        try:
            self.run_dir.lock()
            words = [self.request.job] if self.request.job else []
            words += ["--run-dir", str(self.run_dir.path)]
            if self.request.resume:
                words += ["--resume", str(self.run_dir.path)]
            has_checkpoint = self.run_dir.newest_checkpoint() is not None
            self.notes = call_tool(resolve_command(self.request, *words), self.signals,
                                   stop_code=STOPPED if has_checkpoint else STOPPED_NOW).splitlines()
            config = self.run_dir.config()
            if self.request.trace:
                trace.prepare(self.run_dir.path)
        except BaseException:
            self.run_dir.discard()
            raise
        return config

    def start(self, config):
        self.origin = trace.Origin.now()
        counts = config.get("cluster") or {}
        roles = [("coordinator", 1), ("server", counts.get("servers", 1)),
                 ("worker", counts.get("workers", 1))]
        self.feeders.start()  # first: workers look for them as they begin
        for role, count in roles:
            for index in range(count):
                self.cluster.start(role, index, self.command(role, index), self.run_dir.logs)

    def command(self, role, index):
        command = [binary(self.request.bin_dir, f"ballast-{role}"),
                   "--run-dir", str(self.run_dir.path)]
        if role != "coordinator":
            command += ["--index", str(index)]
        if self.request.trace and role in ("server", "worker"):
            command += ["--trace", trace.FOLDER]
        return command

    def run(self):
        config = self.resolve()
        if self.request.resume:
            self.run_dir.forget_previous_end()
        display = displays.choose(self.request.quiet)
        try:
            display.note(f"run directory: {self.run_dir.shown()}")
            for note in self.notes:
                display.note(note)
            self.feeders = Feeders(on_this_host(config), lambda index: self.command("feeder", index),
                                   self.run_dir, display.note)
            self.start(config)
            display.start()
            supervisor = Supervisor(self.cluster, self.run_dir, display, self.signals, self.feeders)
            ending = supervisor.watch()
        finally:
            self.cluster.end(grace_s=0)
            if self.feeders:
                self.feeders.end(grace_s=0)
            display.stop()
            self.run_dir.unlock()
        if self.request.trace:
            self.trace_lines = self.join_trace(config)
        exit_code, message = self.conclude(ending, supervisor.last_status)
        self.run_dir.write_end(exit_code, message)
        return Result(self.run_dir, exit_code, message)

    def join_trace(self, config):
        about = {"job": (config.get("job") or {}).get("name", ""),
                 "mode": (config.get("train") or {}).get("mode", "")}
        return trace.join(self.run_dir.path, self.run_dir.shown(), self.origin, about)

    def conclude(self, ending, status):
        """-> (exit code, last message)."""
        if ending is Ending.FINISHED:
            return self.conclude_finished()
        if ending is Ending.FAILED:
            first = failure.earliest(self.cluster, self.run_dir, status)
            return first.exit_code, failure.describe(first, self.advice(first.exit_code))
        if ending is Ending.LINGERED:
            names = ", ".join(child.name for child in self.cluster.children
                              if child.ended_by_launcher)
            return FAILED, "\n".join([f"ballast: {names} did not end within {LINGER_S:.0f} s after "
                                      "the coordinator had, and was killed", *self.advice()])
        return self.conclude_stopped(ending)

    def conclude_stopped(self, ending):
        """75 promises that --resume goes on. A job stopped before its first step has nothing to go
        on from: it ends like one that was stopped at once."""
        if ending is Ending.KILLED:
            code, what = STOPPED_NOW, "stopped at once"
        elif self.run_dir.newest_checkpoint() is not None:
            code, what = STOPPED, "stopped on request"
        else:
            code, what = STOPPED_NOW, "stopped on request before the first step: nothing was trained"
        return code, "\n".join([f"ballast: {what}", *self.advice()])

    def conclude_finished(self):
        summary = self.run_dir.summary()
        if summary is None or summary.get("stopped"):
            return FAILED, "\n".join(["ballast: every process ended without an error, but there is "
                                      "no summary.json of a whole job, so it is not done", *self.advice()])
        lines = [*text.summary_lines(summary), f"run directory: {self.run_dir.shown()}",
                 *self.trace_lines]
        return DONE, "\n".join(lines)

    def advice(self, exit_code=FAILED):
        """How to go on: resume if there is a checkpoint, else run again; bad input is mended first.
        Before it, where the trace is."""
        return ["  " + line for line in self.trace_lines] + self.how_to_go_on(exit_code)

    def how_to_go_on(self, exit_code):
        first = "once that is mended, " if exit_code == BAD_INPUT else ""
        checkpoint = self.run_dir.newest_checkpoint()
        trace_too = ["--trace"] if self.request.trace else []
        if checkpoint is not None:
            resume = command_line("run", "--resume", self.run_dir.shown(), *trace_too)
            return [f"  last checkpoint: {step_of(checkpoint)} ({self.run_dir.shown()}/checkpoints/"
                    f"{checkpoint.name})", f"  {first}to resume: {resume}"]
        words = ["run", self.request.job]
        for setting in self.request.settings:
            words += ["--set", setting]
        if self.request.run_dir:
            words += ["--run-dir", next_name(self.request.run_dir)]
        words += trace_too
        return ["  no checkpoint was written", f"  {first}to run again: {command_line(*words)}"]


def next_name(path):
    """A folder beside `path` that is not there: a run directory is never reused."""
    count = 2
    while pathlib.Path(f"{path}-{count}").exists():
        count += 1
    return f"{path}-{count}"


def finished(path):
    """What to say of a run that has nothing left to do, or nothing."""
    run_dir = RunDirectory(path)
    summary = run_dir.summary()
    if summary is None or summary.get("stopped") or run_dir.is_running():
        return None
    return "\n".join([f"{run_dir.shown()} is finished: nothing to resume",
                      *text.summary_lines(summary)])


def run_job(request):
    """Runs one job to its end. No process is left when it returns or raises."""
    with StopSignals() as signals:
        return Job(request, signals).run()


def dry_run(request):
    """Shapes, units per shard and the memory sum, without a run directory or a process; with
    --resume also what it would go on from."""
    if not request.job and not request.resume:
        raise LauncherError("which job? give a JOB.toml, or --resume DIR", BAD_INPUT)
    words = [request.job] if request.job else []
    if request.resume:
        words += ["--resume", str(reopened(request).path)]
    else:
        check_job_file(request.job)
    call_tool(resolve_command(request, *words, "--dry-run"), show_output=True)
    return DONE
