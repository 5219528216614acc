"""The variables RELSTAB_* of the environment, read here and nowhere else, so that each means one thing everywhere.

Empty is not set. A flag is on unless it is empty, 0, no, off or false.

>>> flag("RELSTAB_NO_SUCH_FLAG"), folder("RELSTAB_NO_SUCH_FOLDER") is None
(False, True)
"""

import os
from pathlib import Path

FLAGS = {
    "RELSTAB_NO_RUN": "having to run anything, a notebook or a unit, is an error: proves that all was found",
    "RELSTAB_DEBUG": "the command shows the traceback of an error instead of one sentence",
}
FOLDERS = {
    "RELSTAB_DATA": "image data (MNIST, CIFAR-10, ImageNet folders, ...)",
    "RELSTAB_STORE": "results that are not published",
    "RELSTAB_RESULTS": "published results",
    "RELSTAB_DOWNLOADS": "set while a notebook runs: where its figures leave their files",
}


def flag(name: str) -> bool:
    """Whether a flag is on."""
    return os.environ.get(name, "").strip().lower() not in ("", "0", "no", "off", "false")


def folder(name: str, default: Path | None = None) -> Path | None:
    """The folder that a variable names, absolute; the default where it is not set."""
    given = os.environ.get(name) or default
    return None if given is None else Path(given).absolute()


def absolute() -> dict[str, str]:
    """The folders that are set, absolute: for a process that starts in another folder."""
    return {name: str(path) for name in FOLDERS if (path := folder(name)) is not None}
