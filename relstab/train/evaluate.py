"""What a trained network predicts, how often it is wrong, and whether it says the same of everything."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor, nn

COLLAPSE_SAMPLE = 1000  # about so many training images are compared at the end of a run


@torch.no_grad()
def predictions(
    model: nn.Module,
    images: Shaped[Tensor, "image channel height width"],
    *,
    normalise: Callable | None = None,
    batch_size: int = 500,
) -> Int64[Tensor, " image"]:
    """The predicted classes in evaluation mode; a single output f is binary, class 1 where f > 0.

    An image whose outputs hold NaN gets -1, which is no class.

    >>> model = nn.Sequential(nn.Flatten(), nn.Identity())
    >>> predictions(model.append(nn.Linear(4, 1, bias=False).requires_grad_(False)), torch.zeros(3, 1, 2, 2)).tolist()
    [0, 0, 0]
    """
    device, training = next(model.parameters()).device, model.training
    model.eval()
    chunks = []
    for chunk in images.split(batch_size):
        chunk = chunk.to(device)
        outputs = model(normalise(chunk) if normalise else chunk)
        found = outputs.argmax(1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).long()
        chunks.append(found.masked_fill(outputs.isnan().any(1), -1))
    model.train(training)
    return torch.cat(chunks).cpu()


def error_rate(model: nn.Module, images: Shaped[Tensor, "image channel height width"],
               labels: Int64[Tensor, " image"], *, normalise: Callable | None = None,
               batch_size: int = 500) -> float:  # fmt: skip
    """The fraction of wrong predictions, float32, evaluation mode, in batches of `batch_size`.

    `images` are what the model takes, or, with `normalise`, what that takes. ValueError without images,
    or without a label of 0 or more for each.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> images = torch.zeros(6, 1, 2, 2)
    >>> error_rate(model, images, predictions(model, images))
    0.0
    """
    if len(images) == 0:
        raise ValueError("images is empty; an error rate needs at least one image")
    if len(labels) != len(images) or labels.min() < 0:
        raise ValueError(
            f"labels are {len(labels)}, the smallest {labels.min()}; an error rate needs one of 0 or more for "
            "each of the "
            f"{len(images)} images"
        )
    predicted = predictions(model, images, normalise=normalise, batch_size=batch_size)
    return (predicted != labels.cpu()).double().mean().item()


def collapsed(model: nn.Module, split: Any, normalise: Callable) -> bool:
    """Whether images of several classes, spread over the training set, all get the same prediction."""
    stride = -(-len(split.labels) // COLLAPSE_SAMPLE)
    images, labels = split.images[::stride], split.labels[::stride]
    predicted = predictions(model, images, normalise=normalise)
    return len(labels.unique()) > 1 and len(predicted.unique()) == 1
