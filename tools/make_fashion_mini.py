"""Build relstab/assets/fashion-mini.npz: the first images of each class of Fashion-MNIST, in their order.

300 + 100 images a class, 3,000 for training and 1,000 for testing: real images (MIT licence) for runs
without a network, 1.8 MB. Run it from the top of the repository, with Fashion-MNIST where `relstab.data.load`
finds it:

    python tools/make_fashion_mini.py

It prints the digest that relstab/data/sources.py has to name.
"""

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from relstab import data  # noqa: E402
from relstab.data import formats  # noqa: E402
from relstab.store import atomic  # noqa: E402

PER_CLASS = {"train": 300, "test": 100}
TARGET = ROOT / "relstab" / "assets" / "fashion-mini.npz"


def first_of_each_class(split, count):
    """The images that are among the first `count` of their class, in the order of the split."""
    ranks = torch.nn.functional.one_hot(split.labels).cumsum(0).gather(1, split.labels[:, None])
    return split.take(torch.nonzero(ranks[:, 0] <= count)[:, 0])


def main():
    fashion = data.load("fashion-mnist")
    parts = {part: first_of_each_class(getattr(fashion, part), count) for part, count in PER_CLASS.items()}
    with atomic.replacing(TARGET) as file:
        np.savez_compressed(
            file,
            **{f"x_{part}": split.images[:, 0].numpy() for part, split in parts.items()},
            **{f"y_{part}": split.labels.to(torch.uint8).numpy() for part, split in parts.items()},
        )
    digest = formats.split_digest(*parts.values())
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size} bytes, digest {digest}")


if __name__ == "__main__":
    main()
