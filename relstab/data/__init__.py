"""The data of the papers: image sets by name, and the tasks that are made up (scale detection, toys).

>>> from relstab import data
>>> fashion = data.load("fashion-mini")
>>> subset = data.random_subset(fashion.train, 100, seed=0, balanced=True)
>>> fashion.normalise(subset.images).shape
torch.Size([100, 1, 28, 28])
"""

from .folders import load_folder, load_npz
from .images import digest, load, names, require, user_folders
from .splits import Dataset, Split, normalise, random_subset

__all__ = [
    "Dataset",
    "Split",
    "digest",
    "load",
    "load_folder",
    "load_npz",
    "names",
    "normalise",
    "random_subset",
    "require",
    "user_folders",
]
