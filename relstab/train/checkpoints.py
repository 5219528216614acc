"""Checkpoints of a training run: one file, written atomically, that says whose it is.

A file is there in full or not at all, whatever kills the process. It begins with the SHA-256 of what follows, so
that a single flipped bit makes it a damaged one, which is a miss and is said so; one of another run is refused,
never overwritten.

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp()) / "run.pt"
>>> save({"identity": {"seed": 0}, "epoch": 3}, path)
>>> load(path, {"seed": 0})["epoch"]
3
"""

import hashlib
import io
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from relstab.store import atomic

SECONDS = 30.0  # between two checkpoints of a `Regularly`, at least
HEADER = b"relstab checkpoint 1 "  # then the digest in hex, a newline, and what torch.save wrote


def save(state: dict, path: Path) -> None:
    """Put `state` in `path`; a reader sees the old state or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save(state, content)
    with atomic.replacing(path) as file:
        file.write(HEADER + hashlib.sha256(content.getbuffer()).hexdigest().encode() + b"\n")
        file.write(content.getbuffer())


def load(path: Path, identity: dict, device: torch.device | str = "cpu") -> dict | None:
    """The state of the run `identity`; None where there is no file or, with a warning, a damaged one.

    Raises ValueError when the file belongs to another run.
    """
    if not path.exists():
        return None
    atomic.sweep(path.parent)  # what a process killed while writing left
    try:
        state = torch.load(_content(path), map_location=device, weights_only=True)
        found = dict(state["identity"])
    except Exception as error:
        warnings.warn(f"checkpoint {path} is damaged ({error}); the run starts again", stacklevel=2)
        return None
    if found != identity:
        changed = ", ".join(sorted(name for name in identity if found.get(name) != identity[name]))
        raise ValueError(f"checkpoint {path} belongs to another run (other {changed}); move it away to start")
    return state


class Regularly:
    """Checkpoints of a long loop that is no training by `fit`: at most one every `SECONDS`, resumed by `state`.

    Without a workspace nothing is written and nothing found.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> checkpoint = Regularly(folder, {"seed": 0})
    >>> checkpoint.last -= SECONDS
    >>> checkpoint.save(lambda: {"step": 7})
    >>> Regularly(folder, {"seed": 0}).state["step"]
    7
    """

    def __init__(self, workspace: Path | None, identity: dict, *, device: torch.device | str = "cpu"):
        self.path, self.identity = workspace and Path(workspace) / "checkpoint.pt", identity
        self.last = time.monotonic()
        self.state = load(self.path, identity, device) if self.path else None

    def save(self, state: Callable[[], dict]) -> None:
        """Write what `state()` gives, tensors and numbers, unless the last checkpoint is younger than `SECONDS`."""
        if self.path and time.monotonic() >= self.last + SECONDS:
            save({"identity": self.identity, **state()}, self.path)
            self.last = time.monotonic()


def weights_digest(model: torch.nn.Module) -> str:
    """First 16 hex digits of the SHA-256 over the state dict's sorted names and bytes: which weights these are.

    >>> weights_digest(torch.nn.Linear(2, 1)) == weights_digest(torch.nn.Linear(2, 1))
    False
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _content(path: Path) -> io.BytesIO:
    """What torch.save wrote; ValueError when the digest before it is not its own."""
    content = path.read_bytes()
    start = len(HEADER) + 65
    if content[: len(HEADER)] != HEADER or content[start - 1 : start] != b"\n":
        raise ValueError("it does not begin with a digest")
    body = memoryview(content)[start:]
    if hashlib.sha256(body).hexdigest().encode() != content[len(HEADER) : start - 1]:
        raise ValueError("its digest does not match its content")
    return io.BytesIO(body)
