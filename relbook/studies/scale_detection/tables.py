"""What is drawn of the homogeneous network and of Prop. A.1 (paper A, Figs. 8 and App. A): computed, not measured."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from relstab.theory import effective_receptive_field, gaussian, kernel, walk
from relstab.theory.diffusion import VERSIONS


def profiles(
    image: Float[ndarray, " length"], layers: int, filter_size: int, stride: int
) -> list[Float[ndarray, " _"]]:
    """The representations f_0, ..., f_layers of an image in the homogeneous network (A Fig. 8).

    Stride 1: the mean over F neighbours on the ring. Stride F: the sum over each block of F, so that a unit
    counts the active pixels it sees. ValueError if a stride-F layer does not divide its input.

    >>> pixel = np.zeros(9)
    >>> pixel[4] = 1.0
    >>> [f.round(2).tolist() for f in profiles(pixel, 2, 3, 3)[1:]]
    [[0.0, 1.0, 0.0], [1.0]]
    """
    effective_receptive_field(layers, filter_size, stride)  # refuses other strides
    stack = [image]
    for _ in range(layers):
        if stride == 1:
            taps = np.fft.rfft(kernel(filter_size, len(image)))
            stack.append(np.fft.irfft(np.fft.rfft(stack[-1]) * taps, len(image)).clip(min=0))
        elif len(stack[-1]) % filter_size:
            raise ValueError(f"layers is {layers}; {len(image)} pixels do not divide into {filter_size}**layers")
        else:
            stack.append(stack[-1].reshape(-1, filter_size).sum(1))
    return stack


def walk_and_gaussians(layers: int, filter_sizes: Sequence[int]) -> pd.DataFrame:
    """The walk beside Prop. A.1 with both constants: columns filter_size, site, walk, exact, paper.

    Sites are pixels from where the walk started; the last two columns are the Gaussian at those sites.

    >>> walk_and_gaussians(1, [3]).round(3).values.tolist()[1]
    [3.0, 0.0, 0.333, 0.489, 0.598]
    """
    parts = []
    for filter_size in filter_sizes:
        sites, law = walk(layers, filter_size)
        curves = {version: gaussian(sites, layers, filter_size, version=version) for version in VERSIONS}
        parts.append(pd.DataFrame({"filter_size": filter_size, "site": sites, "walk": law, **curves}))
    return pd.concat(parts, ignore_index=True)
