"""The named image sets of papers A and B: found, checked against a digest, honestly named.

Only `cifar10` with the original bytes bears that name; its JPEG re-encoding is `cifar10-jpeg`, and lossy.

>>> fashion = load("fashion-mini")
>>> fashion.train.images.shape, fashion.lossy, fashion.license
(torch.Size([3000, 1, 28, 28]), False, 'MIT')
>>> round(fashion.normalise(fashion.test.images[:2]).amax().item(), 5)
1.0
"""

import contextlib
import os
import sys
import tempfile
from http.client import HTTPException
from pathlib import Path

from relstab.store import environment

from . import formats
from .cifar_jpeg import cache_folder
from .sources import SOURCES, Format, Source
from .splits import Dataset


def names() -> list[str]:
    """The image sets that `load` knows.

    >>> names()[:2]
    ['fashion-mnist', 'fashion-mini']
    """
    return list(SOURCES)


def load(name: str, root: str | Path | None = None, *, size: int | None = None, download: bool = True) -> Dataset:
    """The image set `name`, as uint8 tensors on the CPU.

    Looked for in `root`, then the folder RELSTAB_DATA, ./data, the system's or package's own folder, the
    cache; last (unless `download` is False) the public original is downloaded into the cache. Known originals
    are held to their digest. `imagenet`: `root` may be the folder or tar itself, pictures are cut to size x
    size pixels (None: 224), and all are in the test split; with a `root` nowhere else is looked, as no digest
    tells two folders apart. `cifar10-jpeg`: in a fixed shuffled order, as the files are sorted by class.
    Raises ValueError for an unknown name, a damaged file or another digest; FileNotFoundError if it is
    nowhere.

    >>> mini = load("fashion-mini")  # 3000 + 1000 images that come with the package
    >>> len(mini.train), len(mini.test), mini.classes[:2]
    (3000, 1000, ('T-shirt/top', 'Trouser'))
    """
    source = _source(name)
    if size is not None and name != "imagenet":
        raise ValueError(f"size is {size}, but only imagenet is cut to a size; {name} has its own")
    root = None if root is None else Path(root)
    if root is not None and not root.exists():
        raise FileNotFoundError(f"root is {str(root)!r}, which does not exist; it must be a folder that holds {name}")
    path, layout = _find(source, root) or _fetch(name, source, root, download)
    classes = source.classes
    if name == "imagenet":
        test, classes, found = layout.read(path, 224 if size is None else size)
        train = test.take(slice(0, 0))
    else:
        train, test, *of_files = layout.read(path)
        found = of_files[0] if of_files else formats.split_digest(train, test)
    if source.digest and found != source.digest:
        raise ValueError(f"{path} is damaged or does not hold {name}: its sha256 is {found}, not {source.digest}")
    return Dataset(name, train, test, classes, source.mean, source.std, found, str(path), source.license, source.lossy)


def digest(name: str, root: str | Path | None = None) -> str:
    """`load(name, root).digest`, without reading anything where only one digest is allowed.

    >>> digest("fashion-mini") == load("fashion-mini").digest
    True
    """
    return _source(name).digest or load(name, root).digest


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f"name is {name!r}; it must be one of {', '.join(names())}")
    return SOURCES[name]


def user_folders() -> list[Path]:
    """Where the user's data lie: the folder RELSTAB_DATA, if it is set, and ./data.

    >>> user_folders()[-1].name
    'data'
    """
    named = environment.folder("RELSTAB_DATA")
    return [*([named] if named else []), Path("data").absolute()]


def _places(source: Source, root: Path | None) -> list[Path]:
    """Where to look: the folders of the user first."""
    own = [root] if root is not None else []
    return [*own, *user_folders(), *source.places, cache_folder()]


def _find(source: Source, root: Path | None) -> tuple[Path, Format] | None:
    for place in _places(source, root):
        for relative, layout in source.layouts:
            if (relative != "." or place == root) and layout.there(place / relative):
                return place / relative, layout
    return None


def _fetch(name: str, source: Source, root: Path | None, download: bool) -> tuple[Path, Format]:
    """Download the original into the cache; FileNotFoundError with the whole story where that cannot be."""
    if not source.download:
        why = "it is no public download"
    elif not download:
        why = "a download was not allowed"
    else:
        try:
            _download(source)
        except (OSError, RuntimeError, HTTPException) as error:  # RuntimeError: of torchvision, no mirror is left
            why = f"the download failed ({str(error).splitlines()[0]})"
        else:
            if found := _find(source, root):
                return found
            why = f"the copy in {cache_folder()} is incomplete (remove it)"
    raise _absent(name, source, root, why)


def _absent(name: str, source: Source, root: Path | None, why: str) -> FileNotFoundError:
    """What was looked for, where, and how to get it."""
    wanted = " or ".join(relative for relative, _ in source.layouts if relative != ".")
    places = ", ".join(str(place) for place in _places(source, root))
    return FileNotFoundError(
        f"{name} was not found: there is no {wanted} in {places} (RELSTAB_DATA can name a further folder), "
        f"and {why}; {source.obtain}"
    )


def require(name: str, *, download: bool = True) -> None:
    """Raise FileNotFoundError, as `load` would, unless the data set is here or (with `download`) may be fetched.

    Reads and fetches nothing, so that a plan can tell beforehand what a machine lacks.

    >>> require("fashion-mini")
    """
    source = _source(name)
    if _find(source, None) is None and not (download and source.download):
        why = "no download was tried" if source.download else "it is no public download"
        raise _absent(name, source, None, why)


def _download(source: Source) -> None:
    """Fetch with torchvision, which knows mirrors and checksums; what appears in the cache is whole."""
    from relstab.vision import datasets  # only here: this import takes a second

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as temporary:
        with contextlib.redirect_stdout(sys.stderr):  # torchvision tells what it does; stdout may be JSON
            getattr(datasets, source.download)(temporary, download=True)
        for new in [path for path in Path(temporary).iterdir() if path.is_dir()]:
            if not (folder / new.name).exists():  # else another process was faster
                os.replace(new, folder / new.name)
