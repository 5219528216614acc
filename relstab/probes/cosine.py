r"""Sensitivity to deformation as paper C measures it: cosine distances, by layer (C Figs. 3, 4, 7).

$$\frac{\mathrm{mean}_i\; d(r(x_i), r(\tau x_i))}{\mathrm{median}_{i<j}\; d(r(x_i), r(x_j))},
\qquad d(u, v) = 1 - \frac{u\cdot v}{\|u\|\,\|v\|}.$$

The inner products are taken inside the forward hook: of a layer's features only the P distances to the
deformed images and the P × P distances between images remain.

C does not say what the cosine with a zero vector is: here two zero vectors have distance 0, and a zero vector
has distance 1 from any other.

>>> images = torch.rand(5, 1, 8, 8)
>>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
>>> cosine_sensitivity(model, images, images.flip(3))["layer"].tolist()
['input', '1', 'output']
"""

from collections.abc import Iterable
from typing import Literal

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from relstab.probes import layers as reading
from relstab.probes.sensitivity import check_inputs, placed


def cosine_sensitivity(
    model: nn.Module,
    images: Float[Tensor, " image *shape"],
    deformed: Float[Tensor, " image *shape"],
    *,
    layers: Literal["blocks", "output", "all"] | Iterable[str] = "blocks",
    batch_statistics: bool | None = False,
    device: str | torch.device | None = None,
) -> pd.DataFrame:
    """C's normalised cosine distance between images and their deformed copies, one row a layer.

    All images go through the network at once, 2P a forward pass (C takes P = 128). layers, batch_statistics
    and device are those of `relstab.sensitivity`; the model is left as it was found. Returns a table with the
    columns layer, depth, relative_depth, sensitivity; NaN where half of the pairs have distance 0. ValueError
    for inputs that are not finite floats of equal shape, fewer than two, and for unknown layers.

    >>> images, model = torch.rand(4, 1, 8, 8), nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    >>> bool(cosine_sensitivity(model, images, images)["sensitivity"].abs().max() < 1e-6)
    True
    """
    check_inputs(images=images, deformed=deformed)
    model, device, dtype = placed(model, device, images)
    stacked = torch.cat([images.to(device, dtype), deformed.to(device, dtype)])
    values = {}
    with reading.undisturbed(model, device, batch_statistics=batch_statistics, sets=2):
        sample = torch.cat([stacked[:2]] * 2)
        chosen = reading.choose(model, reading.trace(model, sample), layers)
        wanted = {layer.key for layer in chosen}

        def visit(key, output):
            if key in wanted:
                features = reading.features(output, len(stacked)).unflatten(0, (2, len(images), -1))
                values[key] = _normalised_distance(*features.flatten(2))

        reading.sweep(model, stacked, visit, {layer.name for layer in chosen if layer.call > 0})
    rows = [values[layer.key] for layer in chosen]
    return pd.DataFrame(reading.table_index(chosen) | {"sensitivity": rows})


def _normalised_distance(clean: Tensor, deformed: Tensor) -> float:
    """Mean distance between rows of two [image, component] tensors over the median one between clean rows."""
    clean, deformed = (_directions(rows) for rows in (clean, deformed))
    # ½‖u − v‖² is 1 − u·v of unit vectors without the cancellation; zero vectors are right by hand.
    moved = (clean - deformed).square().sum(1) / 2
    moved = torch.where(clean.any(1) == deformed.any(1), moved, torch.ones_like(moved))
    zero = (~clean.any(1)).to(clean)
    distances = 1 - clean @ clean.T - zero[:, None] * zero
    first, second = torch.triu_indices(len(clean), len(clean), offset=1, device=clean.device)
    typical = distances[first, second].cpu().double().quantile(0.5)
    rounding = 8 * torch.finfo(distances.dtype).eps
    return float(moved.double().mean() / typical) if typical > rounding else float("nan")


def _directions(rows: Tensor) -> Tensor:
    """Rows scaled to length 1; zero rows stay zero."""
    rows = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
    norms = rows.square().sum(1, keepdim=True).sqrt()
    return torch.where(norms > 0, rows / norms, torch.zeros_like(rows))
