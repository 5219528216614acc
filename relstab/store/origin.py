"""Where a result comes from: device, versions, code, time. Never a path, a host or a user.

Every number in the book (all papers) carries such a record; the status page shows it.

>>> from relstab.store import origin
>>> finish = origin.start()
>>> sorted(finish())[:6]
['capability', 'code', 'commit', 'device', 'dirty', 'finished']
"""

import functools
import hashlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from relstab.store import numerics

PACKAGE = Path(__file__).resolve().parents[1]
PACKAGES = ("relstab", "relbook")  # whose sources are the code of a result
SOURCES = (".py", ".toml", ".json")
FIELDS = ("device", "capability", "threads", "precision", "python", "torch", "numpy", "scipy", "relstab", "commit",
          "dirty", "code", "seconds", "finished")  # fmt: skip


@functools.cache
def cpu() -> str:
    """Model name of the processor, or its architecture where the system does not tell the model."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        answer = _output("sysctl", "-n", "machdep.cpu.brand_string")
        if answer:
            return answer
    return platform.processor() or platform.machine()


def _output(*command: str) -> str | None:
    """What a command prints, or None when it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _git(*arguments: str) -> tuple[str, ...]:
    """A git command about the checkout, whoever owns its folder."""
    return "git", "-c", f"safe.directory={PACKAGE.parent}", "-C", str(PACKAGE.parent), *arguments


@functools.cache
def commit() -> tuple[str | None, bool | None]:
    """Git commit of the checkout the package lies in, and whether the package differs from it.

    (None, None) outside a checkout. Asked once a process: the code that runs is the code that was imported.
    """
    if not (PACKAGE.parent / ".git").exists():  # a virtual environment in somebody else's repository is not ours
        return None, None
    head = _output(*_git("rev-parse", "--verify", "--quiet", "HEAD"))
    if head is None:
        return None, None
    changes = _output(*_git("status", "--porcelain", "--", *PACKAGES))
    return head, None if changes is None else bool(changes)


def _digest(files: dict[str, bytes]) -> str:
    """First 12 hex digits of the SHA-256 of sources: path in the checkout -> content."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name] + b"\0")
    return digest.hexdigest()[:12]


@functools.cache
def code() -> str:
    """First 12 hex digits of the SHA-256 of both packages' sources: names the code also without git."""
    return _digest({name: path.read_bytes() for name, path in _files(SOURCES)})


@functools.cache
def sources(commit: str | None = None) -> dict[str, str]:
    """Path in the checkout -> text of the packages' Python files, on disk or at a commit;
    none for an unknown commit.
    """
    if commit is None:
        return {name: path.read_text(encoding="utf-8") for name, path in _files((".py",))}
    entries = {name: blob for name, blob in _tree(commit).items() if name.endswith(".py")}
    blobs = _blobs(sorted(set(entries.values()))) if entries else {}
    return {name: blobs[blob].decode() for name, blob in entries.items()}


def _files(suffixes: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """(path in the checkout, path) of the packages' files with these suffixes."""
    for package in PACKAGES:
        for path in (PACKAGE.parent / package).rglob("*"):
            if path.suffix in suffixes:
                yield path.relative_to(PACKAGE.parent).as_posix(), path


def _tree(commit: str) -> dict[str, str]:
    """Path -> object of the packages' sources at a commit."""
    listed = _output(*_git("ls-tree", "-r", commit, "--", *PACKAGES)) or ""
    entries = dict(reversed(line.split("\t", 1)) for line in listed.splitlines())
    return {name: entry.split()[2] for name, entry in entries.items() if Path(name).suffix in SOURCES}


@functools.cache
def commit_of(digest: str) -> str | None:
    """The newest commit in the history of the checkout whose `code()` is `digest`; None if there is none.

    So a result says where it comes from also when it was computed where only the files had travelled.
    """
    return _history().get(digest)


@functools.cache
def _history() -> dict[str, str]:
    """Code digest of every commit -> the newest commit that has it; each tree is read once."""
    log = _output(*_git("rev-list", "HEAD"))
    if not (PACKAGE.parent / ".git").exists() or log is None:
        return {}
    known, blobs = {}, {}
    for commit in log.split():
        entries = _tree(commit)
        missing = sorted(set(entries.values()) - blobs.keys())
        if missing:
            blobs |= _blobs(missing)
        known.setdefault(_digest({name: blobs[blob] for name, blob in entries.items()}), commit)
    return known


def _blobs(names: list[str]) -> dict[str, bytes]:
    """The content of git objects, from one process."""
    asked = "".join(f"{name}\n" for name in names).encode()
    command = _git("cat-file", "--batch")
    answer = subprocess.run(command, input=asked, capture_output=True, check=True).stdout
    found, position = {}, 0
    for name in names:
        end = answer.index(b"\n", position)
        size = int(answer[position:end].split()[2])
        found[name] = answer[end + 1 : end + 1 + size]
        position = end + size + 2
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _allocations() -> int:
    """CUDA allocations so far; only looks at a torch that is already loaded and a CUDA already in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return sum(
        torch.cuda.memory_stats(index).get("allocation.all.allocated", 0) for index in range(torch.cuda.device_count())
    )


def start() -> Callable[[], dict]:
    """Start the clock; the function returned stops it and gives the record.

    Fields: device (GPU name if the unit allocated memory on one, else the processor's), capability (the
    instructions of torch's CPU kernels), threads (torch's, None without torch), precision (of float32), python,
    torch, numpy, scipy, relstab (versions), commit, dirty, code, seconds (wall time), finished (UTC).
    """
    began, allocations = time.perf_counter(), _allocations()
    head, dirty = commit()
    sources = code()

    def finish() -> dict:
        torch = sys.modules.get("torch")
        device = torch.cuda.get_device_name() if _allocations() > allocations else cpu()
        return {
            "device": device,
            "capability": numerics.capability(),
            "threads": None if torch is None else torch.get_num_threads(),
            "precision": numerics.precision(),
            "python": platform.python_version(),
            **{package: _version(package) for package in ("torch", "numpy", "scipy", "relstab")},
            "commit": head,
            "dirty": dirty,
            "code": sources,
            "seconds": round(time.perf_counter() - began, 3),
            "finished": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    return finish
