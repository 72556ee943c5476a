"""Files that appear whole or not at all. The one place where this package writes to a folder."""

import contextlib
import errno
import os
import tempfile

from .errors import DataError, DiskError

NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
NOT_THE_USERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE)
TEMPORARY = ".new-"  # how the name begins where the file system has no O_TMPFILE


@contextlib.contextmanager
def told(attempted):
    """An error of the system as one sentence."""
    try:
        yield
    except OSError as error:
        kind = DiskError if error.errno in NOT_THE_USERS else DataError
        raise kind(f"{attempted}: {os.strerror(error.errno)}") from error


def make_folder(folder):
    with told(f"make folder {folder}"):
        os.makedirs(folder, exist_ok=True)


def write_all(descriptor, data):
    data = memoryview(data).cast("B")
    while data:
        data = data[os.write(descriptor, data):]


def sync_folder(folder):
    """The names in a folder are as durable as its last fsync."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


class NewFile:
    """A file without a name until publish(): kill -9 leaves nothing. On file systems without
    O_TMPFILE a hidden one, removed by close()."""

    def __init__(self, folder):
        self._folder = str(folder)
        self._temporary = None
        self.size = 0
        with told(f"create a file in {folder}"):
            self._descriptor = self._create()

    def _create(self):
        try:
            return os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno not in NO_TMPFILE:
                raise
        descriptor, self._temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=self._folder)
        return descriptor

    def append(self, data):
        with told(f"write a file in {self._folder} at byte {self.size}"):
            write_all(self._descriptor, data)
        self.size += memoryview(data).nbytes

    def publish(self, name):
        """fsync, then the name. A file of that name must have as many bytes and is kept."""
        path = os.path.join(self._folder, name)
        with told(f"name {path}"):
            os.fsync(self._descriptor)
            try:
                self._link(path)
            except FileExistsError:
                found = os.stat(path).st_size
                if found != self.size:
                    raise DataError(f"{path} exists with {found} bytes, {self.size} expected: "
                                    "remove it") from None
            sync_folder(self._folder)

    def _link(self, path):
        if self._temporary:
            os.link(self._temporary, path)
            return
        # Given a folder's descriptor, Python calls linkat with AT_SYMLINK_FOLLOW; the path is
        # absolute, so which folder it is does not matter.
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.link(f"/proc/self/fd/{self._descriptor}", path, src_dir_fd=folder)
        finally:
            os.close(folder)

    def close(self):
        if self._descriptor is None:
            return
        os.close(self._descriptor)
        self._descriptor = None
        if self._temporary:
            os.unlink(self._temporary)


def add_line(path, text):
    """For one writer: a line that a kill cut short has no end."""
    with told(f"write {path}"), open(path, "ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


def replace_file(folder, name, data):
    """Through folder/.name.new, fsync and rename: readers see the old content or the new one."""
    path = os.path.join(folder, name)
    temporary = os.path.join(folder, f".{name}.new")
    with told(f"write {temporary}"):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            os.unlink(temporary)
            raise
        finally:
            os.close(descriptor)
    with told(f"rename {temporary} to {path}"):
        os.rename(temporary, path)
        sync_folder(folder)
