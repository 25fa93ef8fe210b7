"""Replace a file whole or not at all.

The new content goes to ``.name.<random>.tmp`` in the same folder and takes the name only when all
of it is on the disk. Whoever has the old file open or mapped keeps the old content.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator

_STALE_AFTER = 3600.0  # seconds
# The suffix takes 22 of the 255 bytes that a name may have.
_MAX_STEM = 255 - 22


@contextlib.contextmanager
def replacing(path: str) -> Iterator[int]:
    """A descriptor to write the new content to; leaving the block puts it in place.

    A symbolic link stays, the file it names is replaced. An existing file keeps its permissions.
    Any exception, also KeyboardInterrupt, leaves the old file and removes the new one. A process
    that is killed leaves the temporary file, which a save to the same path removes when it is
    older than an hour and no saver holds its lock.

    Raises
    ------
    OSError
        If a step fails. After the last one, syncing the folder, the new file is in place.
    """
    target = os.path.realpath(path)
    permissions = _replaceable(target)
    folder, name = os.path.split(target)
    stem = f".{os.fsdecode(os.fsencode(name)[:_MAX_STEM])}."
    _remove_stale(folder, stem)
    # Another saver never has the same 64 random bits, so what is removed below is our own.
    temporary = os.path.join(folder, f"{stem}{os.urandom(8).hex()}.tmp")
    try:
        with _created(temporary, permissions) as descriptor:
            yield descriptor
            os.fsync(descriptor)
            os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


@contextlib.contextmanager
def _created(temporary: str, permissions: int | None) -> Iterator[int]:
    """A new file, locked as long as it is open."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o666 if permissions is None else permissions)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if permissions is not None:
            os.fchmod(descriptor, permissions)  # what umask took away
        yield descriptor
    finally:
        os.close(descriptor)


def _replaceable(target: str) -> int | None:
    """The permissions of what is there now, if anything is, after checking that it may go."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(mode):
        raise ValueError(f"{target}: expected a regular file to replace, got a device or pipe")
    if not os.access(target, os.W_OK):  # renaming would not ask
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), target)
    return stat.S_IMODE(mode)


def _remove_stale(folder: str, stem: str) -> None:
    """Remove what killed savers of this path have left; nothing of this is worth failing for."""
    temporary = re.compile(re.escape(stem) + r"[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError):
        for name in filter(temporary.fullmatch, os.listdir(folder)):
            with contextlib.suppress(OSError):
                _remove_if_stale(os.path.join(folder, name))


def _remove_if_stale(temporary: str) -> None:
    if time.time() - os.lstat(temporary).st_mtime < _STALE_AFTER:
        return  # also covers a saver that has created its file and not yet locked it
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(temporary, flags)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its saver lives
        os.unlink(temporary)
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)
