r"""The same pictures again, encoded as JPEG: what a network that is trained on copies gets to see.

JPEG turns red, green and blue into one plane of luminance and two of chrominance,

$$Y = .299\,R + .587\,G + .114\,B, \qquad C_b = \frac{B - Y}{1.772} + 128, \qquad C_r = \frac{R - Y}{1.402} + 128,$$

halves the two in both directions (4:2:0) or does not (4:4:4), and rounds the cosine coefficients of blocks of 8 x 8
pixels, the coarser the finer the detail. Here all of it can be done to `planes` "all", or to the luminance or the
chrominance alone, while the other plane keeps the original's values.

>>> ENCODINGS["cifar10-8k-jpeg75"]
Encoding(original='cifar10-lossless-8k', quality=75, subsampling='4:2:0', planes='all')
"""

import hashlib
import io
from dataclasses import astuple, dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from relbook.studies import datasets
from relstab import data
from relstab.data import Dataset, Split, formats

SUBSAMPLINGS = ("4:2:0", "4:2:2", "4:4:4")
PLANES = ("all", "luminance", "chrominance")
TO_LUMINANCE = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.886 / 1.772],
        [0.701 / 1.402, -0.587 / 1.402, -0.114 / 1.402],
    ]
)
SAMPLE = 256  # so many encoded pictures say which codec it was


@dataclass(frozen=True)
class Encoding:
    """Which original, and what JPEG does to it.

    Args:
        quality: 1 to 95, the scale of libjpeg's tables; 75 is its default, and that of `cifar10-jpeg`.
        subsampling: of the chrominance, "4:2:0", "4:2:2" or "4:4:4"; grey pictures have none.
        planes: what is replaced by its copy: "all", "luminance" or "chrominance".

    Raises:
        ValueError: for other values.
    """

    original: str
    quality: int
    subsampling: str = "4:2:0"
    planes: str = "all"

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 95:
            raise ValueError(f"quality is {self.quality}; it must be from 1 to 95")
        for name, allowed in (("subsampling", SUBSAMPLINGS), ("planes", PLANES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}")


ENCODINGS = {
    "cifar10-8k-jpeg75": Encoding("cifar10-lossless-8k", 75),
    "cifar10-8k-jpeg95": Encoding("cifar10-lossless-8k", 95),
    "cifar10-8k-jpeg75-444": Encoding("cifar10-lossless-8k", 75, "4:4:4"),
    "cifar10-8k-jpeg75-luminance": Encoding("cifar10-lossless-8k", 75, planes="luminance"),
    "cifar10-8k-jpeg75-chrominance": Encoding("cifar10-lossless-8k", 75, planes="chrominance"),
    "fashion-mini-jpeg75": Encoding("fashion-mini", 75),
}


@lru_cache(maxsize=3)
def loaded(name: str) -> Dataset:
    """The data set `name`, of `ENCODINGS` (its original's pictures, encoded on the spot) or of `relstab.data`; kept.

    >>> loaded("fashion-mini-jpeg75").lossy
    True
    """
    if name not in ENCODINGS:
        return datasets.loaded(name)
    encoding = ENCODINGS[name]
    original = datasets.loaded(encoding.original)
    train, test = (reencoded_split(split, encoding) for split in (original.train, original.test))
    found = encoding_digest(original.digest, original.train, encoding)
    return replace(original, name=name, train=train, test=test, digest=found, lossy=True)


def digest(name: str) -> str:
    """`loaded(name).digest`, without encoding all pictures.

    >>> digest("fashion-mini-jpeg75") == loaded("fashion-mini-jpeg75").digest != digest("fashion-mini")
    True
    """
    if name not in ENCODINGS:
        return data.digest(name)
    encoding = ENCODINGS[name]
    return encoding_digest(data.digest(encoding.original), datasets.loaded(encoding.original).train, encoding)


def reencoded(
    images: UInt8[Tensor, "image channel height width"], encoding: Encoding
) -> UInt8[Tensor, "image channel height width"]:
    """Each picture (one channel or three) as JPEG and back.

    With `planes` "luminance" or "chrominance" that part of the copy is put together with the other part of the
    original, unrounded, then rounded to whole grey levels and cut to 0 ... 255: white and black can move the
    part that was to be kept. Grey pictures are luminance alone, so `planes` must be "all".

    Raises ValueError for another number of channels, and for the planes of grey pictures.

    >>> grey = torch.full((1, 1, 16, 16), 77, dtype=torch.uint8)
    >>> bool((reencoded(grey, Encoding("", 75)) == 77).all())
    True
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise ValueError(f"images has {channels} channels; JPEG takes pictures of 1 or 3")
    if channels == 1 and encoding.planes != "all":
        raise ValueError(f"planes is {encoding.planes!r}; it must be 'all' for grey pictures")
    pictures = images.permute(0, 2, 3, 1).numpy()
    copies = np.stack([_copy(picture, encoding) for picture in pictures])
    if encoding.planes != "all":
        copies = _mixed(pictures, copies, encoding.planes)
    return torch.from_numpy(np.ascontiguousarray(copies.transpose(0, 3, 1, 2)))


def reencoded_split(split: Split, encoding: Encoding) -> Split:
    """The split with its pictures re-encoded, in the same order.

    >>> split = Split(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.arange(2))
    >>> reencoded_split(split, Encoding("", 75)).labels.tolist()
    [0, 1]
    """
    return Split(reencoded(split.images, encoding), split.labels)


def encoding_digest(original: str, train: Split, encoding: Encoding) -> str:
    """sha256 (hex) of the original's digest, the settings and the first `SAMPLE` encoded training pictures.

    So another JPEG library that rounds otherwise gives another digest, without encoding all pictures to know.

    >>> split = Split(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.arange(2))
    >>> len(encoding_digest("of the original", split, Encoding("", 75)))
    64
    """
    sample = reencoded_split(train.take(slice(0, SAMPLE)), encoding)
    text = repr((original, astuple(encoding), formats.split_digest(sample)))
    return hashlib.sha256(text.encode()).hexdigest()


def _copy(picture: np.ndarray, encoding: Encoding) -> np.ndarray:
    file = io.BytesIO()
    grey = picture.shape[-1] == 1
    options = {} if grey else {"subsampling": encoding.subsampling}
    Image.fromarray(picture[..., 0] if grey else picture).save(file, "JPEG", quality=encoding.quality, **options)
    with Image.open(file) as copy:
        pixels = np.asarray(copy)
    return pixels[..., None] if grey else pixels


def _mixed(pictures: np.ndarray, copies: np.ndarray, planes: str) -> np.ndarray:
    """Luminance of the one and chrominance of the other, as whole grey levels."""
    original, copy = (pixels.astype(np.float64) @ TO_LUMINANCE.T for pixels in (pictures, copies))
    luminance, chrominance = (copy, original) if planes == "luminance" else (original, copy)
    mixed = np.concatenate([luminance[..., :1], chrominance[..., 1:]], axis=-1)
    return np.clip(np.rint(mixed @ np.linalg.inv(TO_LUMINANCE).T), 0, 255).astype(np.uint8)
