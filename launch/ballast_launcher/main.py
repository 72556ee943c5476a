"""The commands and their options. Every failure of the launcher itself is one line, no traceback."""

import argparse
import contextlib
import math
import os
import pathlib
import signal
import sys
import traceback

from . import bench, compare, convert, run, smoke, status
from .binaries import binary, find_bin_dir
from .errors import BUG, DONE, FAILED, STOPPED_NOW, LauncherError, ToolError

# Handed to ballast-tool as they are.
TOOL_COMMANDS = {
    "data": "convert (Parquet too), inspect, verify, head, stats, plan, add-column, drop-column, "
            "smote, replay: data sets in chunk files",
    "doctor": "one line per problem of a job before step 0, and its memory sum",
    "keys": "every key of a job file: type, unit, range, default, meaning",
    "predict": "outputs of a trained model for a data set",
    "evaluate": "metrics of a trained model on a data set",
    "export": "the weights of a checkpoint as safetensors, also after a crash",
}


def positive(word):
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 expected, {word!r} found")
    return int(word)


def finite(word):
    with contextlib.suppress(ValueError):
        if math.isfinite(float(word)):
            return float(word)
    raise argparse.ArgumentTypeError(f"a number expected, {word!r} found")


def add_run(commands):
    parser = commands.add_parser("run", help="train a job, or continue one with --resume")
    parser.add_argument("job", nargs="?", metavar="JOB.toml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="overrides a key of the job file; may be repeated")
    parser.add_argument("--run-dir", metavar="DIR", help="default: runs/<job name>/<UTC time>")
    parser.add_argument("--resume", metavar="DIR", help="continue the run in DIR")
    parser.add_argument("--quiet", action="store_true", help="only the result or the error")
    parser.add_argument("--trace", action="store_true",
                        help="RUNDIR/trace.json: what each step did when, for trace viewers")
    once = parser.add_mutually_exclusive_group()
    once.add_argument("--smoke", type=positive, metavar="N",
                      help="N steps of everything: train, evaluate, checkpoint, resume, export")
    once.add_argument("--dry-run", action="store_true",
                      help="shapes, units per shard and the memory sum; starts nothing")
    parser.set_defaults(handler=handle_run)


def handle_run(options):
    request = run.Request(find_bin_dir(options.bin_dir), options.job, tuple(options.set),
                          options.run_dir, options.resume, options.quiet, options.trace)
    for setting in options.set:
        if "=" not in setting:
            raise LauncherError(f"--set {setting}: expected key=value")
    if options.dry_run:
        return run.dry_run(request)
    if options.smoke:
        return smoke.Smoke(request, options.smoke).run()
    if request.resume and not request.job and not request.settings:
        finished = run.finished(request.resume)
        if finished:
            print(finished)
            return DONE
    result = run.run_job(request)
    result.show()
    return result.exit_code


def add_status(commands):
    parser = commands.add_parser("status", help="what a run is doing; default: the newest")
    parser.add_argument("run_dir", nargs="?", metavar="RUNDIR")
    parser.set_defaults(handler=lambda options: status.show(options.run_dir))


def add_compare(commands):
    parser = commands.add_parser("compare", help="results of finished runs side by side")
    parser.add_argument("run_dirs", nargs="+", metavar="RUNDIR")
    parser.add_argument("--at-least", action="append", default=[], metavar="METRIC=NUMBER",
                        help="fail if a run does not reach it, such as test_accuracy=0.96")
    parser.set_defaults(handler=lambda options: compare.show(options.run_dirs, options.at_least))


def add_bench(commands):
    parser = commands.add_parser("bench", help="sync-async: the modes against each other")
    benches = parser.add_subparsers(required=True, metavar="BENCH")
    both = benches.add_parser("sync-async", help="sync, ssp and async, with and without stragglers")
    both.add_argument("job", nargs="?", metavar="JOB.toml", default=str(bench.DEFAULT_JOB),
                      help="default: the digits example")
    both.add_argument("--out", type=pathlib.Path, metavar="DIR",
                      help="default: runs/bench-sync-async/<UTC time>")
    both.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    both.add_argument("--repeats", type=positive, default=3, help="runs of each kind (3)")
    both.add_argument("--slow-factor", type=finite, default=4.0,
                      help="how much slower worker 0 computes (4)")
    both.add_argument("--pause-chance", type=finite, default=0.05,
                      help="chance that a step of any worker pauses (0.05)")
    both.add_argument("--pause-ms", type=int, default=50, help="length of a pause (50)")
    both.add_argument("--target", type=finite,
                      help="score to time; default: the highest that every run reached")
    both.set_defaults(handler=handle_sync_async)
    plots = benches.add_parser("plots", help="draw the plots of a results.json again")
    plots.add_argument("results", type=pathlib.Path, metavar="RESULTS.json")
    plots.set_defaults(handler=handle_plots)


def handle_sync_async(options):
    return bench.sync_async(bench.Options(
        find_bin_dir(options.bin_dir), options.job, (options.out or bench.default_out()).absolute(),
        tuple(options.set), options.repeats, options.slow_factor, options.pause_chance,
        options.pause_ms, options.target))


def handle_plots(options):
    for path in bench.draw(options.results):
        print(f"plot: {path}")
    return DONE


def build_parser():
    parser = argparse.ArgumentParser(prog="ballast", allow_abbrev=False)
    parser.add_argument("--bin-dir", metavar="DIR",
                        help="where the programs are; default: build/release/bin")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_run, add_bench, add_status, add_compare):
        add(commands)
    for name, text in TOOL_COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


def tool_words(words):
    """(--bin-dir or nothing, words for ballast-tool), or nothing if the command is our own."""
    bin_dir = None
    if len(words) > 1 and words[0] == "--bin-dir":
        bin_dir, words = words[1], words[2:]
    if words and words[0] in TOOL_COMMANDS:
        return bin_dir, words
    return None


def check_no_empty(words):
    """An unset variable of a shell, as a rule; as a path it would be the folder one is in."""
    for before, word in zip(["ballast", *words], words):
        if not word:
            raise LauncherError(f"empty argument after {before}: a value expected; is a variable of "
                                "the shell not set?")


def dispatch(words):
    check_no_empty(words)
    for_tool = tool_words(words)
    if for_tool and convert.is_parquet(for_tool[1]):
        return convert.convert(for_tool[1][2:])
    if for_tool:
        tool = binary(find_bin_dir(for_tool[0]), "ballast-tool")
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it; `| head` is no failure
        os.execv(tool, [tool, *for_tool[1]])
    options = build_parser().parse_args(words)
    return options.handler(options)


def say(message, prefix="ballast: "):
    try:
        sys.stdout.flush()
        print(prefix + message, file=sys.stderr)
    except OSError:
        pass  # nobody is there to read it


def main(words):
    try:
        return dispatch(words)
    except LauncherError as error:
        say(str(error), "" if isinstance(error, ToolError) else "ballast: ")
        return error.exit_code
    except KeyboardInterrupt:
        say("stopped")
        return STOPPED_NOW
    except BrokenPipeError:
        # The reader of our output went away (| head): not a failure, and nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        say(f"{error.filename or 'operating system'}: {error.strerror or error}")
        return FAILED
    except Exception as error:  # pylint: disable=broad-except
        place = traceback.extract_tb(error.__traceback__)[-1]
        say(f"a bug of the launcher: {type(error).__name__}: {error} "
            f"({os.path.basename(place.filename)}:{place.lineno})")
        return BUG
