"""Files that are old or new but never half, and locks that die with their owner.

Serves the results of every paper (definitions: a run killed at any moment loses at most the unit it was on).
A file is written beside its target and renamed over it, which the file system does in one step; a lock is
`flock`, which the kernel releases even after `kill -9`, so that no lock is ever stale.
"""

import contextlib
import errno
import fnmatch
import hashlib
import itertools
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows: no flock; two writers are then only kept apart by the atomic replacement
    fcntl = None

_DAY = 86400.0
_SERIAL = itertools.count()
_NO_FLOCK = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def _machine() -> str:
    """Six hex digits that tell the machines of a shared file system apart, without naming them."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """An open binary file that takes the place of `path` when the block ends, or vanishes if it raises.

    The data are on disk (fsync) before the name points to them. OSError (disk full, read-only) passes through
    with the old file untouched and nothing left behind.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(folder + "/state") as file:
    ...         size = file.write(b"epoch 3")
    ...     Path(folder, "state").read_bytes()
    b'epoch 3'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{next(_SERIAL)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the rename itself must survive a power cut, too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write(path: str | Path, data: bytes) -> None:
    """Put `data` in `path` so that a reader at any moment sees the old content or the new one."""
    with replacing(path) as file:
        file.write(data)


def _alive(pid: int) -> bool:
    if os.name != "posix":  # there os.kill(pid, 0) would end the process; leave the file to its age
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def sweep(folder: str | Path) -> int:
    """Remove temporary files left in `folder` by killed writers; their number.

    A file goes when its writer was a process of this machine that no longer lives, or when it is older than a
    day (its process number may have been given away again since).
    """
    removed = 0
    for place, _, names in os.walk(folder):  # passes over folders that another process removes meanwhile
        for name in fnmatch.filter(names, ".*.tmp"):
            owner = name.split(".")[-2].split("-")
            if len(owner) != 3 or not owner[1].isdigit():
                continue  # not one of ours
            temporary = Path(place, name)
            with contextlib.suppress(OSError):
                dead = owner[0] == _machine() and not _alive(int(owner[1]))
                if dead or time.time() - temporary.stat().st_mtime > _DAY:
                    temporary.unlink()
                    removed += 1
    return removed


def _acquire(path: str | Path) -> int | None:
    """One attempt: the descriptor that holds the lock, -1 where locks do not exist, None when it is taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # the last owner may have removed the file between our open and our lock: then nobody else sees ours
        if os.fstat(descriptor).st_ino == os.stat(path).st_ino:
            return descriptor
    except BlockingIOError:
        pass
    except FileNotFoundError:
        pass
    except OSError as error:
        os.close(descriptor)
        if error.errno in _NO_FLOCK:
            return -1
        raise
    os.close(descriptor)
    return None


@contextlib.contextmanager
def lock(path: str | Path, *, patience: float = 0.0) -> Iterator[bool]:
    """Hold the lock file `path` for the block; False when somebody else holds it for `patience` seconds more.

    Between threads, processes and (where the file system passes flock on) machines. Where there is no flock
    the block runs unlocked: two writers then repeat work, but `replacing` keeps every file whole.
    """
    if fcntl is None:
        yield True
        return
    end, pause = time.monotonic() + patience, 0.01
    while (descriptor := _acquire(path)) is None and time.monotonic() < end:
        time.sleep(min(pause, max(0.0, end - time.monotonic())))
        pause = min(2 * pause, 0.5)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None and descriptor >= 0:
            with contextlib.suppress(OSError):
                os.unlink(path)  # which also frees the name from forked children that share the descriptor
            os.close(descriptor)
