"""Checkpoints of a training run: one file, written atomically, that says whose it is.

A file is there in full or not at all, whatever kills the process; a damaged one is a miss and is said so; one
of another run is refused, never overwritten.

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp()) / "run.pt"
>>> save({"identity": {"seed": 0}, "epoch": 3}, path)
>>> load(path, {"seed": 0})["epoch"]
3
"""

import warnings
from pathlib import Path

import torch

from relstab import atomic


def save(state: dict, path: Path) -> None:
    """Put `state` in `path`; a reader sees the old state or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(path) as file:
        torch.save(state, file)


def load(path: Path, identity: dict, device: torch.device | str = "cpu") -> dict | None:
    """The state of the run `identity`; None where there is no file or, with a warning, a damaged one.

    Raises ValueError when the file belongs to another run.
    """
    if not path.exists():
        return None
    atomic.sweep(path.parent)  # what a process killed while writing left
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        found = state["identity"]
    except Exception as error:
        warnings.warn(
            f"checkpoint {path} is damaged ({type(error).__name__}); the run starts again", stacklevel=2
        )
        return None
    if found != identity:
        changed = ", ".join(sorted(name for name in identity if found.get(name) != identity[name]))
        raise ValueError(f"checkpoint {path} belongs to another run (other {changed}); move it away to start")
    return state
