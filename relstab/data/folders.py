"""Image sets that are folders (or tar archives) of picture files, and anybody's own images for a probe.

Serves the ImageNet panel of paper B (Fig. 3, centre), CIFAR-10 as JPEGs, and `relstab probe`.

>>> import tempfile
>>> from PIL import Image
>>> with tempfile.TemporaryDirectory() as folder:
...     for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
...         Path(folder, name).parent.mkdir(exist_ok=True)
...         Image.new("RGB", (40, 30)).save(Path(folder, name))
...     split = load_folder(folder, size=24)
>>> tuple(split.images.shape), split.labels.tolist()
((3, 3, 24, 24), [0, 0, 1])
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from . import formats
from .splits import Split

IMAGENET_SAMPLE = "imagenet-samples-500.tar"
_SAMPLE_SHA256 = "a1b3bdbb83b5f3727a56ccfaa546e4795d8140d1335937858ffa27be981fec5b"
# sha256 of the sample's WordNet ids, sorted, one a line: every second class of ImageNet's thousand
_EVERY_SECOND_CLASS = "3b02e0e6b51ffe7d7f68f05085c08063a27951e247dd1b6b17d02e4bdb1fdcd9"
_WORDNET_ID = re.compile(r"(?:^|/)(n\d{8})(?=[/_.])")


def read_pictures(
    path: Path, names: Sequence[str], *, short: int | None = None, size: int | None = None
) -> tuple[UInt8[Tensor, "image channel height width"], str]:
    """The pictures `names` of a folder or archive, in this order, and a digest of their names and contents.

    Grey [n, 1, h, w] if all are grey, else RGB. `short`, `size`: see formats.decode. The digest is the sha256
    of what `sha256sum` prints for the files sorted by name: that of the source, as JPEG decoders differ by a
    unit. Raises ValueError for a damaged picture, or for pictures that are not of one size.
    """
    position = {name: i for i, name in enumerate(names)}
    images, all_grey, lines, first = None, True, {}, ""
    for name, content in formats.picture_bytes(path, names):
        with formats.reading(path / name, "a picture"):
            pixels, grey = formats.decode(content, short, size)
        if images is None:
            images, first = np.empty((len(names), *pixels.shape), np.uint8), name
        if pixels.shape != images.shape[1:]:
            raise ValueError(
                f"size is None, but the pictures in {path} have different sizes: height x width is "
                f"{images.shape[1]} x {images.shape[2]} in {first}, {pixels.shape[0]} x {pixels.shape[1]} in "
                f"{name}; give a size in pixels to resize and crop them to"
            )
        images[position[name]] = pixels
        all_grey &= grey
        lines[name] = f"{hashlib.sha256(content).hexdigest()}  {name}\n"
    images = torch.from_numpy(images).permute(0, 3, 1, 2)
    digest = hashlib.sha256("".join(lines[name] for name in sorted(lines)).encode()).hexdigest()
    return (images[:, :1] if all_grey else images).contiguous(), digest


def _check_count(argument: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{argument} is {value}; it must be at least 1")


def _listing(path: Path) -> list[str]:
    if not path.exists():
        raise FileNotFoundError(f"path is {str(path)!r}, which does not exist; it must be a folder or tar of pictures")
    if not (names := formats.picture_names(path)):
        raise ValueError(f"path is {str(path)!r}, which holds no picture files ({', '.join(sorted(formats.PICTURES))})")
    return names


def load_folder(path: str | Path, size: int | None = None, *, count: int | None = None) -> Split:
    """All pictures of a folder (at any depth) or tar archive, sorted by name, as uint8 [n, 1 or 3, h, w].

    Args:
        size: in pixels; the short side is resized to it and the central square kept. None: all must have one
            size.
        count: take only so many, evenly spaced over the sorted names (so that sorted classes are all met).

    Raises:
        FileNotFoundError: if there is no such path.
        ValueError: for no pictures, damaged ones, unequal sizes.

    Labels are the position of the first subfolder among the sorted ones, as torchvision's ImageFolder; -1 without any.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (40, 30)).save(f"{folder}/grey.png")
    ...     split = load_folder(folder, size=24)
    >>> split.images.shape, split.labels.tolist()
    (torch.Size([1, 1, 24, 24]), [-1])
    """
    _check_count("size", size)
    _check_count("count", count)
    path = Path(path)
    names = _listing(path)
    classes = sorted({name.partition("/")[0] for name in names})
    labelled = all("/" in name for name in names)
    if count is not None and count < len(names):
        names = [names[i * len(names) // count] for i in range(count)]
    images, _ = read_pictures(path, names, short=size, size=size)
    labels = [classes.index(name.partition("/")[0]) if labelled else -1 for name in names]
    return Split(images, torch.tensor(labels))


def load_imagenet(path: Path, size: int = 224) -> tuple[Split, tuple[str, ...], str]:
    """ImageNet pictures, named <wnid>_<name>.jpg or in folders <wnid>/: split, class names, digest.

    The usual evaluation crop: short side to 256 / 224 size, then the central size x size pixels.
    Labels: with all thousand WordNet ids the class index of ImageNet; with the ids of the 500-image sample
    (every second class) twice the position, which is the class index again; else the position among the
    sorted ids. Raises ValueError for pictures without WordNet id, damaged ones, or a sample archive with
    another sha256.
    """
    _check_count("size", size)
    if path.name == IMAGENET_SAMPLE and (found := formats.sha256(path)) != _SAMPLE_SHA256:
        raise ValueError(f"{path} has the sha256 {found}, not {_SAMPLE_SHA256}: it is damaged or another file")
    names = _listing(path)
    matches = [_WORDNET_ID.search(name) for name in names]
    if None in matches:
        raise ValueError(
            f"{path / names[matches.index(None)]} has no WordNet id (n and eight digits) as the name of its "
            "folder or the beginning of its own; sort ImageNet pictures into one folder per id"
        )
    wnids = sorted({match[1] for match in matches})
    step = 2 if hashlib.sha256("\n".join(wnids).encode()).hexdigest() == _EVERY_SECOND_CLASS else 1
    labels = torch.tensor([step * wnids.index(match[1]) for match in matches])
    images, digest = read_pictures(path, names, short=round(size * 256 / 224), size=size)
    if step * len(wnids) == 1000:
        from relstab.vision import models  # only here: this import takes a second

        wnids = models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    images = images.expand(-1, 3, -1, -1).contiguous()
    return Split(images, labels), tuple(wnids), hashlib.sha256(f"{digest} {size}".encode()).hexdigest()


def load_npz(path: str | Path) -> Split:
    """Images from an npz: array `images`, `x` or `x_test`; labels from `labels`, `y` or `y_test` if there.

    [n, h, w], [n, h, w, c] or [n, c, h, w] with c = 1 or 3. uint8 stays uint8; floats stay as they are
    (whether they still want a normalisation is the caller's to know). Labels are -1 where there are none.
    Raises FileNotFoundError if there is no such file; ValueError for a damaged one, other keys, types or
    shapes, or values that are not finite.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/mine.npz", x=np.zeros((5, 8, 8, 3), np.uint8), y=np.arange(5))
    ...     split = load_npz(f"{folder}/mine.npz")
    >>> split.images.shape, split.labels.tolist()
    (torch.Size([5, 3, 8, 8]), [0, 1, 2, 3, 4])
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path is {str(path)!r}, which does not exist; it must be an npz of images")
    with formats.open_npz(path, "an npz") as arrays:
        keys = {"images": "labels", "x": "y", "x_test": "y_test"}
        if (key := next((key for key in keys if key in arrays), None)) is None:
            raise ValueError(f"its arrays are {', '.join(arrays.files)}; one must be images, x or x_test")
        label_key = keys[key]
        images = arrays[key]
        if not isinstance(images, np.ndarray) or images.ndim == 0:
            raise ValueError(f"its {key!r} is no array of images")
        labels = arrays[label_key].reshape(-1) if label_key in arrays else np.full(len(images), -1)
    images = _channels_first(images, f"array {key!r} of {path}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"array {label_key!r} of {path} has type {labels.dtype}; labels must be integers")
    return Split(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def _channels_first(images: np.ndarray, what: str) -> np.ndarray:
    if images.ndim == 3:
        images = images[:, None]
    first, last = (images.ndim == 4 and images.shape[axis] in (1, 3) for axis in (1, -1))
    if first == last:
        raise ValueError(
            f"{what} has shape {images.shape}; it must be [n, height, width], or have 1 or 3 channels on "
            "either the second axis or the last"
        )
    images = np.ascontiguousarray(images if first else images.transpose(0, 3, 1, 2))
    if np.issubdtype(images.dtype, np.floating):
        images = images if images.dtype in (np.float32, np.float64) else images.astype(np.float32)
        if not np.isfinite(images).all():
            raise ValueError(f"{what} has values that are not finite")
    elif images.dtype != np.uint8:
        raise ValueError(f"{what} has type {images.dtype}; it must be uint8 or a float type")
    return images
