"""convert: a plan -> a data set, by processes, a partition at a time.

What is finished is kept in OUT/.receipts: for each partition its receipt, and the names of chunks
before they get them. So a conversion that was stopped, by kill -9 at any instant too, goes on from
there; the folder goes away with the commit. Memory: for each process a batch and a block."""

import concurrent.futures
import contextlib
import ctypes
import fcntl
import multiprocessing
import os
import pathlib
import shutil
import signal

from .commit import MANIFEST, commit, is_there, remove_chunks
from .errors import DataError, DiskError
from .files import add_line, make_folder, replace_file, told
from .receipt import PartitionReceipt
from .writer import ChunkWriter

RECEIPTS = ".receipts"
IDENTITY = "identity"
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)  # loaded before any fork


def convert(plan, processes, *, overwrite=False, progress=lambda done, rows: None,
            note=lambda text: None):
    """-> Committed. progress(rows done, rows in all) is called as partitions are done; note(text)
    is told that it goes on, or starts over. The first error in the order of rows comes back; one of
    the sources leaves nothing behind, after another one the same call goes on."""
    make_folder(plan.out)
    with _held(plan.out):
        receipts = _look_back(plan, overwrite, note)
        try:
            committed = _convert_rest(plan, receipts, processes, overwrite, progress)
        except DiskError as error:
            raise DiskError(f"{error}; what is converted stays: the same command again goes on "
                            "from there") from error
        except DataError:
            _discard(plan.out)
            with contextlib.suppress(OSError):  # not empty: something else is there
                os.rmdir(plan.out)
            raise
        shutil.rmtree(_receipts(plan.out), ignore_errors=True)
        return committed


def convert_partition(plan, number):
    """What a process does -> its receipt, also kept in the folder."""
    settings, kept = plan.settings, _receipts(plan.out)
    names = kept / f"{number}.chunks"
    with ChunkWriter(plan.out, plan.columns, settings.label, number,
                     block_bytes=settings.block_bytes, chunk_bytes=settings.chunk_bytes,
                     codecs=plan.codecs, allow_nonfinite=settings.allow_nonfinite,
                     row_name=lambda row: plan.row_name(number, row),
                     before_naming=lambda name: add_line(names, name)) as writer:
        for values in plan.batches(number):
            writer.write(values)
    receipt = writer.close()
    replace_file(str(kept), f"{number}.json", receipt.to_json().encode())
    return receipt


def _receipts(out):
    return pathlib.Path(out, RECEIPTS)


@contextlib.contextmanager
def _held(out):
    """The folder for one conversion at a time; the system lets go of it when the process ends."""
    with told(f"open folder {out}"):
        descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DataError(f"{out}: another conversion into it runs; wait for its end") from None
    finally:
        os.close(descriptor)


def _look_back(plan, overwrite, note):
    """What an earlier run left: its receipts, or it is removed if that was another conversion."""
    kept = _receipts(plan.out)
    found = {}
    if kept.exists():
        if _read(kept / IDENTITY) == plan.identity:
            found = _finished(plan, kept)
            note(f"{plan.out}: goes on; {len(found)} of {len(plan.partitions)} pieces were "
                 "finished before")
        else:
            note(f"{plan.out}: starts over what an earlier run began: the sources or the options "
                 "have changed")
    # With all receipts it was stopped between the manifest and the end.
    is_taken = os.path.exists(os.path.join(plan.out, MANIFEST))
    if is_taken and not overwrite and len(found) < len(plan.partitions):
        raise DataError(f"{plan.out} already holds a data set: choose another folder, or replace "
                        "it with --overwrite")
    if not found:
        _discard(plan.out)
        make_folder(kept)
        replace_file(str(kept), IDENTITY, plan.identity.encode())
    return found


def _finished(plan, kept):
    """{partition: receipt} of those whose chunks are there"""
    found = {}
    for number in range(len(plan.partitions)):
        with contextlib.suppress(DataError):
            receipt = PartitionReceipt.from_json(_read(kept / f"{number}.json"))
            if all(is_there(plan.out, chunk) for chunk in receipt.chunks):
                found[number] = receipt
    return found


def _read(path):
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _discard(out):
    """Removes what an unfinished conversion left."""
    names = set()
    for path in _receipts(out).glob("*.chunks"):
        names.update(_read(path).splitlines())
    remove_chunks(out, names)
    shutil.rmtree(_receipts(out), ignore_errors=True)


def _convert_rest(plan, found, processes, overwrite, progress):
    receipts = list(found.values())
    done = sum(receipt.rows for receipt in receipts)
    progress(done, plan.rows)
    waiting = [number for number in range(len(plan.partitions)) if number not in found]
    for receipt in _converted(plan, waiting, processes):
        receipts.append(receipt)
        done += receipt.rows
        progress(done, plan.rows)
    return commit(plan.out, receipts, partitions=len(plan.partitions), overwrite=overwrite)


def _converted(plan, waiting, processes):
    """Receipts in order, so the first error is the first of the rows. Processes and not threads:
    much of the work is Python's."""
    if not waiting:
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        min(processes, len(waiting)), multiprocessing.get_context("fork"), _become_child,
        (os.getpid(),))
    try:
        for task in [pool.submit(convert_partition, plan, number) for number in waiting]:
            yield task.result()
    except concurrent.futures.BrokenExecutor:
        raise DiskError("a process of the conversion was killed, for lack of memory maybe; fewer "
                        "--threads take less") from None
    except BaseException:  # what is unfinished has no name yet, and goes with the process
        for child in multiprocessing.active_children():
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _become_child(parent):
    """Ends with the launcher, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
