"""One papermill process: start it, end it with its kernel, and clean up after one whose owner was killed.

Serves `relbook.press.execute`. papermill's kernel lives in a session of its own, so that ending a process group
would miss it; the family is found by parentage instead.

>>> from relbook.press import runner
>>> runner.argument("seed", 3)
['-y', 'seed: 3']
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from relstab.store import atomic, environment


def argument(name: str, value: object) -> list[str]:
    """A parameter for papermill's command line, of the type it has here.

    papermill would turn "-p flag no" into a string and "-p count 3" into a number by guesswork: strings go
    raw, all else as YAML 1.1, which takes 1e-05 for a string and 1.0e-05 for a number.

    >>> argument("scale", "tiny"), argument("rate", 1e-05)
    (['-r', 'scale', 'tiny'], ['-y', 'rate: 1.0e-05'])
    """
    if isinstance(value, str):
        return ["-r", name, value]
    text = json.dumps(value)
    mantissa, e, exponent = text.partition("e")
    if isinstance(value, float) and e and "." not in mantissa:
        text = f"{mantissa}.0e{exponent}"
    return ["-y", f"{name}: {text}"]


def start(
    source: Path, target: Path, log: Path, given: dict[str, object], *, root: Path, downloads: Path
) -> subprocess.Popen:
    """Start `python -m papermill source target` in folder `root`, with everything it prints in `log`.

    Args:
        downloads: an empty folder for the files of its pictures (`relbook.press.downloads`).
    """
    command = [
        sys.executable, "-m", "papermill", str(source), str(target),
        "-k", "python3", "--cwd", str(root), "--no-progress-bar", "--log-output", "--start-timeout", "300",
        "--no-request-save-on-cell-execute",  # of a notebook with pictures each save takes longer than most cells
    ]  # fmt: skip
    for name, value in given.items():
        command += argument(name, value)
    variables = {
        "OMP_NUM_THREADS": "1",  # two OpenMP threads on a busy two-core machine are slower than one
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **os.environ,
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not a namesake in the user's home
        **environment.absolute(),  # the notebook starts in another folder
        "RELSTAB_DOWNLOADS": str(downloads),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])),
    }
    with open(log, "wb") as printed:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT,
            cwd=root, env=variables, start_new_session=True,
        )  # fmt: skip


def kill(pid: int) -> None:
    """End a papermill process and its kernel."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def sweep(folder: Path) -> None:
    """Remove what a killed run left: its temporary files, and papermill processes that still write them.

    Only to be called with the folder's lock held: then whoever still writes there has lost its owner.
    """
    import psutil

    leftovers = {str(path) for path in folder.rglob(".*.tmp.ipynb")}
    if leftovers:
        for process in psutil.process_iter(["cmdline"]):
            if leftovers & set(process.info["cmdline"] or ()):
                kill(process.pid)
    for path in leftovers:
        Path(path).unlink(missing_ok=True)
    for path in list(folder.rglob(".*.tmp.files")):
        shutil.rmtree(path, ignore_errors=True)
    atomic.sweep(folder)
