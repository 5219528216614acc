"""Train a classifier: one readable loop (paper A App. B.1, paper B App. E.1).

The data sit on the device as one uint8 tensor; a batch is one gather (crop included), normalised and deformed
on the fly. Nothing in a step waits for the device: losses and errors are read once an epoch. All randomness
of an epoch, dropout's included, follows from (seed, epoch), so that a checkpoint needs no generator state and
a run that was killed and resumed ends, on a CPU, with bitwise the same weights as one that was not.

>>> import torch
>>> from types import SimpleNamespace as Split
>>> from relstab.train.recipes import Recipe
>>> from relstab.train import fit
>>> labels = torch.arange(64) % 2  # of black and white images
>>> split = Split(images=(255 * labels).byte().view(-1, 1, 1, 1).expand(-1, 1, 8, 8), labels=labels)
>>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
>>> result = fit(model, split, Recipe(epochs=3, lr=0.1), normalise=lambda x: x / 127.5 - 1, seed=0)
>>> result.status, [row["epoch"] for row in result.history]
('ok', [1, 2, 3])
"""

from relstab.train.data import TrainingSet, batches, gaussian
from relstab.train.evaluate import error_rate, predictions
from relstab.train.loop import Fit, fit

__all__ = ["Fit", "TrainingSet", "batches", "error_rate", "fit", "gaussian", "predictions"]
