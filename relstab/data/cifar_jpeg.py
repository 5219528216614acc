"""CIFAR-10 re-encoded as JPEG files: decoded once, then read from a cache.

For experiments of papers A and B where the original bytes cannot be had. The files are of quality 75 with
halved chroma resolution: high-frequency colour is gone, and with it part of a network's sensitivity to noise.
Hence the name `cifar10-jpeg`, never `cifar10`, and `lossy`.

>>> tree_order(["train/ship/0001.jpg", "train/cat/0007.jpg", "train/cat/0001.jpg"])
['train/ship/0001.jpg', 'train/cat/0001.jpg', 'train/cat/0007.jpg']
"""

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from relstab.store import atomic

from . import formats
from .folders import read_pictures
from .splits import Split


def cache_folder() -> Path:
    """Where downloads and decoded images are kept: $XDG_CACHE_HOME/relstab, else ~/.cache/relstab."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "relstab"


def tree_order(names: Iterable[str]) -> list[str]:
    """A fixed shuffle: by the sha256 of the name.

    The listing is sorted by class, and the first 500 test images of the papers must not be 500 airplanes.
    Hashes, because unlike a seeded generator they are the same in every version of every library.
    """
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def read_jpeg_tree(path: Path, classes: tuple[str, ...]) -> tuple[Split, Split, str]:
    """Train split, test split and digest (of the files) of train/<class>/*.jpg, test/<class>/*.jpg.

    Args:
        path: folder or tar archive.

    Raises:
        ValueError: for a damaged picture, or for a tree without one of the classes.
    """
    names = formats.picture_names(path)
    order = {part: tree_order(n for n in names if n.startswith(f"{part}/")) for part in ("train", "test")}
    found = {part: {name.split("/")[1] for name in order[part]} for part in order}
    for part, folders in found.items():
        if folders != set(classes):
            raise ValueError(
                f"{path} has the folders {', '.join(sorted(folders)) or 'none'} under {part}/; "
                f"they must be {', '.join(classes)}"
            )
    images, digest = read_pictures(path, order["train"] + order["test"])
    parts = images.split([len(order["train"]), len(order["test"])])
    labels = {part: torch.tensor([classes.index(name.split("/")[1]) for name in order[part]]) for part in order}
    return Split(parts[0], labels["train"]), Split(parts[1], labels["test"]), digest


def _fingerprint(path: Path) -> str:
    """Changes when the source does: the sha256 of an archive; of sizes and times of all files in a folder."""
    if path.is_file():
        return formats.sha256(path)
    states = ((name, (path / name).stat()) for name in formats.picture_names(path))
    return hashlib.sha256(repr([(name, s.st_size, s.st_mtime_ns) for name, s in states]).encode()).hexdigest()


def read_cached(path: Path, classes: tuple[str, ...]) -> tuple[Split, Split, str]:
    """`read_jpeg_tree`, from the cache if this archive or folder has been decoded before.

    Of several processes that start at once one decodes and the others wait for it. A cache file that is damaged
    is a miss, with a warning; so is a cache that cannot be written.
    """
    cache = cache_folder() / f"cifar10-jpeg-{_fingerprint(path)[:16]}.npz"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # where nothing can be written each process decodes for itself
            cache.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(atomic.lock(cache.with_suffix(".lock"), patience=600.0))
        return _read_cached(path, classes, cache)


def _read_cached(path: Path, classes: tuple[str, ...], cache: Path) -> tuple[Split, Split, str]:
    if cache.exists():
        try:
            with formats.open_npz(cache, "decoded images") as arrays:
                pairs = [
                    (torch.from_numpy(arrays[f"{part}_images"]), torch.from_numpy(arrays[f"{part}_labels"]))
                    for part in ("train", "test")
                ]
                return Split(*pairs[0]), Split(*pairs[1]), str(arrays["digest"])
        except ValueError as error:
            warnings.warn(f"{error}; the images are decoded again", stacklevel=4)
    train, test, digest = read_jpeg_tree(path, classes)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(cache) as file:
            np.savez(
                file,
                train_images=train.images.numpy(),
                train_labels=train.labels.numpy(),
                test_images=test.images.numpy(),
                test_labels=test.labels.numpy(),
                digest=digest,
            )
    except OSError as error:
        warnings.warn(f"the decoded images could not be kept in {cache}: {error}", stacklevel=4)
    return train, test, digest
