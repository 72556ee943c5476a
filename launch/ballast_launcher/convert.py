"""`ballast data convert --format parquet`: what ballast_data and pyarrow do, as a command.

The other formats are ballast-tool's; the options that both have are the same."""

import argparse
import contextlib
import os
import sys

from . import text
from .errors import BAD_INPUT, DONE, FAILED, LauncherError

APT = {"numpy": "python3-numpy", "flatbuffers": "python3-flatbuffers", "xxhash": "python3-xxhash"}


def is_parquet(words):
    """Whether the words are a conversion of ours."""
    return (words[:2] == ["data", "convert"] and
            ("--format=parquet" in words or ("--format", "parquet") in zip(words, words[1:])))


def build_parser():
    parser = argparse.ArgumentParser(prog="ballast data convert --format parquet",
                                     allow_abbrev=False,
                                     description="Parquet files into a data set, column by column. "
                                     "The same command again goes on where it was stopped.")
    parser.add_argument("sources", nargs="+", metavar="FILE", help="files of the same columns")
    parser.add_argument("--format", choices=["parquet"], required=True)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the data set")
    parser.add_argument("--overwrite", action="store_true", help="replace a data set that is there")
    parser.add_argument("--label", default="", metavar="NAME",
                        help="the integer column whose values each block counts")
    parser.add_argument("--columns", default="", metavar="A,B", help="only these, in this order")
    parser.add_argument("--skip", default="", metavar="A,B", help="all columns but these")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=8,8",
                        help="a column of lists, all of this shape; may be repeated. Others stay "
                        "lists of any length")
    parser.add_argument("--null", metavar="VALUE",
                        help="what stands for a missing value, which is else refused")
    parser.add_argument("--allow-nonfinite", action="store_true",
                        help="keep NaN and Inf, which training refuses")
    parser.add_argument("--codec", action="append", default=[], metavar="[NAME=]CODEC",
                        help="none, lz4 or zstd; NAME=CODEC for one column; may be repeated (none)")
    parser.add_argument("--block-kib", type=whole(4, 1 << 20), default=2048, metavar="N",
                        help="size of a block (2048)")
    parser.add_argument("--chunk-mib", type=whole(1, 1 << 16), default=32, metavar="N",
                        help="size of a chunk (32)")
    parser.add_argument("--threads", type=whole(1, 1024), metavar="N",
                        default=len(os.sched_getaffinity(0)),
                        help="how many convert, each a process (the cores there are)")
    return parser


def whole(low, high):
    def parse(word):
        if not word.isdecimal() or not low <= int(word) <= high:
            raise argparse.ArgumentTypeError(f"{low} to {high} expected, {word!r} found")
        return int(word)

    return parse


def shapes_of(words):
    """["x=8,8"] -> {"x": (8, 8)}"""
    shapes = {}
    for word in words:
        name, _, extents = word.rpartition("=")
        if not name or not all(extent.isdecimal() for extent in extents.split(",")):
            raise LauncherError(f"--shape {word}: expected NAME=LENGTH, such as x=13 or x=8,8")
        shapes[name] = tuple(map(int, extents.split(",")))
    return shapes


def codecs_of(words):
    """["zstd", "x=lz4"] -> (("", "zstd"), ("x", "lz4"))"""
    pairs = (word.rpartition("=") for word in words)
    return tuple((name, codec) for name, _, codec in pairs)


def names_of(words):
    return tuple(name for name in words.split(",") if name)


def load():
    """-> ballast_data with its modules for this, or what to install."""
    try:
        import ballast_data.conversion
        import ballast_data.parquet
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in APT:
            raise LauncherError(f"--format parquet needs the Python module {module}: apt-get "
                                f"install {APT[module]}") from None
        if module != "pyarrow":
            raise
        raise LauncherError(
            "--format parquet needs pyarrow, which Debian does not have: python3 -m venv "
            "--system-site-packages arrow && arrow/bin/pip install pyarrow, then arrow/bin/python "
            f"{os.path.relpath(sys.argv[0])} data convert ...") from None
    return ballast_data


def show(done, rows):
    """On a terminal only, as ballast-tool does."""
    with contextlib.suppress(OSError):
        if sys.stderr.isatty():
            end = "\r\033[K" if done == rows else ""
            print(f"\r{text.number(done)} of {text.number(rows)} rows{end}", end="",
                  file=sys.stderr, flush=True)


def convert(words):
    options = build_parser().parse_args(words)
    if options.columns and options.skip:
        raise LauncherError("--columns and --skip: only one of them expected")
    shapes = shapes_of(options.shape)
    ballast_data = load()
    settings = ballast_data.parquet.Settings(
        options.label, names_of(options.columns), names_of(options.skip), shapes, options.null,
        options.block_kib << 10, options.chunk_mib << 20, options.allow_nonfinite,
        codecs_of(options.codec))
    try:
        plan = ballast_data.parquet.make_plan(options.sources, options.out, settings)
        committed = ballast_data.conversion.convert(
            plan, options.threads, overwrite=options.overwrite, progress=show,
            note=lambda text: print(text, file=sys.stderr, flush=True))
    except ballast_data.DataError as error:
        kind = FAILED if isinstance(error, ballast_data.DiskError) else BAD_INPUT
        raise LauncherError(str(error), kind) from error
    print(f"{options.out}: {committed.rows} rows")
    return DONE
