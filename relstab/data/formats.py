"""The file formats that image sets come in: idx, npz, CIFAR batches, trees of picture files.

Serves the image experiments of papers A and B. Every reader checks what it reads; a file that is damaged, or
is not what its name says, is a ValueError that names it, and never a shorter or other data set.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "t10k-labels-idx1-ubyte")
...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 9, 4]))
...     read_idx(path).tolist()
[9, 4]
"""

import contextlib
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from lzma import LZMAError
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from PIL import Image, UnidentifiedImageError

from .splits import Split

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
LARGEST_PICTURE = 2**28  # bytes of a picture's file
LARGEST_NPZ = 2**35  # bytes of the arrays of an npz; a few megabytes may claim terabytes
_DAMAGE = (
    OSError, EOFError, TypeError, AttributeError, MemoryError, ValueError, KeyError, IndexError,
    struct.error, zlib.error, LZMAError, tarfile.TarError, zipfile.BadZipFile,
    pickle.UnpicklingError, Image.DecompressionBombError,
)  # fmt: skip


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn every way in which reading can fail into one ValueError that names the file."""
    try:
        yield
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read as {what} (damaged, or another kind of file): {reason}") from error


@contextlib.contextmanager
def open_npz(path: Path, what: str) -> Iterator[np.lib.npyio.NpzFile]:
    """The arrays of an npz file, inside `reading`; nothing in it is unpickled."""
    with reading(path, what), open(path, "rb") as file:  # opened here: np.load leaks it where it fails
        arrays = np.load(file)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array, no archive of arrays")
        with arrays:
            if (size := sum(member.file_size for member in arrays.zip.infolist())) > LARGEST_NPZ:
                raise ValueError(f"its arrays take {size / 1e9:.0f} GB, more than {LARGEST_NPZ / 1e9:.0f}")
            yield arrays


def as_split(images: UInt8[np.ndarray, "image ..."], labels: Integer[np.ndarray, "..."]) -> Split:
    """Arrays [n, h, w] or [n, h, w, c] and n labels as a Split (channels first, int64)."""
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return Split(torch.from_numpy(np.array(images, order="C")), torch.from_numpy(labels.reshape(-1).astype(np.int64)))


def sha256(path: Path) -> str:
    """sha256 (hex) of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split_digest(*splits: Split) -> str:
    """sha256 (hex) of shapes, pixels and labels: equal for equal data, whatever file format they came in."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(repr((tuple(split.images.shape), str(split.images.dtype))).encode())
        for tensor in (split.images, split.labels):
            digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
    return digest.hexdigest()


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """The array of unsigned bytes in an idx file (MNIST's format), gzipped if the name ends in .gz."""
    with reading(path, "an idx file"):
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, dimensions = struct.unpack(">HBB", raw[:4])
        if zeros or kind != 8:
            raise ValueError("the header is not that of unsigned bytes")
        start = 4 + 4 * dimensions
        shape = struct.unpack(f">{dimensions}I", raw[4:start])
        return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def idx_paths(folder: Path) -> list[Path] | None:
    """The four idx files of a folder, each plain or gzipped; None where one is missing."""
    paths = [next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None) for name in IDX_FILES]
    return None if None in paths else paths


def read_idx_folder(folder: Path) -> tuple[Split, Split]:
    """Train and test split of a folder with MNIST's four files."""
    arrays = [read_idx(path) for path in idx_paths(folder)]
    with reading(folder, "images with labels"):
        return as_split(*arrays[:2]), as_split(*arrays[2:])


def read_npz(path: Path) -> tuple[Split, Split]:
    """Train and test split of an npz with Keras' keys x_train, y_train, x_test, y_test (channels last)."""
    with open_npz(path, "an npz of x_train, y_train, x_test, y_test") as arrays:
        return as_split(arrays["x_train"], arrays["y_train"]), as_split(arrays["x_test"], arrays["y_test"])


def read_npz_and_more(path: Path, more: Path) -> tuple[Split, Split]:
    """`read_npz`, then the training images of a second npz (x_train, y_train), which come after the first ones."""
    train, test = read_npz(path)
    with open_npz(more, "an npz of x_train, y_train") as arrays:
        rest = as_split(arrays["x_train"], arrays["y_train"])
    return Split(torch.cat([train.images, rest.images]), torch.cat([train.labels, rest.labels])), test


def read_cifar_batches(folder: Path, md5: dict[str, str]) -> tuple[Split, Split, str]:
    """Train and test split of `cifar-10-batches-py`, five pickles and one, and the digest of their md5s.

    A pickle can run code, so each file is held to its published md5 before it is opened.
    """
    splits = []
    for names in ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]):
        pixels, labels = [], []
        for path in (folder / name for name in names):
            with reading(path, "a CIFAR-10 batch"):
                raw = path.read_bytes()
                if hashlib.md5(raw, usedforsecurity=False).hexdigest() != md5[path.name]:
                    raise ValueError("its md5 is not the published one")
                batch = pickle.loads(raw, encoding="latin1")
                pixels.append(batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
                labels.append(np.asarray(batch["labels"]))
        splits.append(as_split(np.concatenate(pixels), np.concatenate(labels)))
    return splits[0], splits[1], hashlib.sha256(repr(sorted(md5.items())).encode()).hexdigest()


def _is_picture(name: str) -> bool:
    base = name.rpartition("/")[2]
    return not base.startswith(".") and Path(base).suffix.lower() in PICTURES


def picture_names(path: Path) -> list[str]:
    """Names of all pictures in a folder (at any depth) or tar archive, relative, with /, sorted."""
    with reading(path, "a folder or tar archive of pictures"):
        if path.is_dir():
            return sorted(filter(_is_picture, (p.relative_to(path).as_posix() for p in path.rglob("*"))))
        with tarfile.open(path) as archive:
            names = {member.name.removeprefix("./") for member in archive if member.isfile()}
            return sorted(filter(_is_picture, names))


def picture_bytes(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the pictures `names` of a folder or tar archive, in the order of reading."""
    if path.is_dir():
        for name in names:
            with reading(path / name, "a picture"):
                if not (path / name).is_file():  # a named pipe would be waited for, a device read for ever
                    raise ValueError("it is no regular file")
                _check_size((path / name).stat().st_size)
                content = (path / name).read_bytes()
            yield name, content
        return
    wanted = set(names)
    with reading(path, "a tar archive of pictures"), tarfile.open(path) as archive:
        for member in archive:
            if (name := member.name.removeprefix("./")) in wanted:
                _check_size(member.size)
                yield name, archive.extractfile(member).read()


def _check_size(size: int) -> None:
    if size > LARGEST_PICTURE:
        raise ValueError(f"a file of {size / 1e6:.0f} MB, more than {LARGEST_PICTURE / 1e6:.0f}, is no picture")


def decode(
    content: bytes, short: int | None = None, size: int | None = None
) -> tuple[UInt8[np.ndarray, "height width 3"], bool]:
    """A picture file as RGB array, and whether it was grey: short side to `short`, then the central square.

    Bilinear with antialiasing, as torchvision's Resize; None leaves that step out. As torchvision's ImageFolder: what
    lies under transparent pixels counts, the orientation in EXIF does not, of an animation the first frame is taken.
    Raises ValueError for pictures of more than 8 bits a channel, which PIL would clip.
    """
    try:
        opened = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:  # whose own words name a place in memory
        raise ValueError("its content is of no format of pictures that is known") from None
    with opened as picture:
        if picture.mode[0] in "IF":
            raise ValueError(f"pixels of mode {picture.mode!r} have more than 8 bits a channel")
        grey = picture.mode in ("1", "L", "LA")
        picture = picture.convert("RGB")
    width, height = picture.size
    if short is not None and short != min(width, height):
        scale = short / min(width, height)
        picture = picture.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    if size is not None:
        top, left = (picture.height - size) // 2, (picture.width - size) // 2
        pixels = pixels[top : top + size, left : left + size]
    return pixels, grey
