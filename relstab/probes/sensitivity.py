r"""D, G and R of a network's layers (A Eq. 1, B Eqs. 4-5), in one streaming pass.

For a network with features f, images x, diffeomorphisms τ and noise η of the same norm as τx − x,

$$D = \frac{E\,\|f(\tau x) - f(x)\|^2}{\Delta}, \quad G = \frac{E\,\|f(x + \eta) - f(x)\|^2}{\Delta}, \quad
  \Delta = E\,\|f(x_1) - f(x_2)\|^2, \quad R = \frac DG .$$

Images are taken in chunks of `batch_size`; x, τx and x + η of a chunk go through the network as one batch,
and each layer's output is reduced (`relstab.probes.moments`) the moment it appears. Nothing is cached: the
memory is that of one forward pass, and no in-place operation that follows can change what was read.

>>> import torch
>>> images = torch.rand(6, 3, 16, 16)
>>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
>>> sensitivity(model, images, generator=torch.Generator().manual_seed(0))["layer"].tolist()
['input', '1', 'output']
"""

import copy
import itertools
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from relstab.probes import layers as reading
from relstab.probes import moments
from relstab.probes.perturbations import perturbations

KEPT_BYTES = 2**31  # what the two median statistics may hold in host memory at a time


def sensitivity(
    model: nn.Module,
    images: Float[Tensor, "image channel height width"],
    *,
    layers="blocks",
    displacement=1.0,
    cut=3,
    statistic="mean",
    batch_size=256,
    generator: torch.Generator | None = None,
    noise="per_image",
    batch_statistics=False,
    interpolation="bilinear",
    device=None,
    progress=None,
) -> pd.DataFrame:
    r"""Relative sensitivity to diffeomorphisms, $R = D / G$, of any network, one row a layer.

    $D = E\|f(\tau x) - f(x)\|^2 / \Delta$, $G = E\|f(x + \eta) - f(x)\|^2 / \Delta$ with
    $\Delta = E\|f(x_1) - f(x_2)\|^2$ over all ordered pairs of images [A, Eq. 1; B, Eqs. 4-5].

    Args:
        model: any module that maps [image, channel, height, width] to features; it is run in evaluation mode
            and left as it was found.
        images: normalised as the network expects, on any device, P >= 2 of them (the papers take 500).
        layers: "blocks" (input, blocks, output), "output", "all" or module names: `relstab.probes.layers`.
        displacement: typical displacement δ of τ in pixels (nominal, B Eq. 3).
        cut: cut-off c of τ.
        statistic: "mean" (A), "median" of the squared norms, or "component_median", the sum over components
            of medians (the code of B): `relstab.probes.moments`. The medians keep all features of a layer in
            host memory, at most `KEPT_BYTES` at a time, and run the network again for the next layers.
        batch_size: images a chunk, three times as many a forward pass; the result does not depend on it.
        generator: CPU generator of τ and η; None draws afresh.
        noise: "per_image", ‖η_i‖ = ‖τx_i − x_i‖, or "fixed", their mean over the images.
        batch_statistics: BatchNorm normalises by the statistics of the clean, of the deformed and of the
            noisy images, as the papers do at initialisation. All images then form one chunk, whatever
            `batch_size`: memory grows with P.
        interpolation: "bilinear", "gaussian" (x is then blurred too, as in B) or "nearest".
        device: where to run; a model that is elsewhere is copied there. Default: the model's device.
        progress: called as progress(n) after each chunk, n more of the P images being done (`tqdm.update`).

    Returns a table with the columns layer, depth (0 for the input, K for the last row), relative_depth (k/K),
    D, G, R. D, G and R of a layer that gives the same features for all images are NaN.

    Raises ValueError for images that are not finite floats of rank 4, fewer than two, for unknown layers,
    statistic or noise, and for medians of a layer too large to be kept.

    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 10))
    >>> table = sensitivity(model, torch.rand(8, 1, 16, 16), layers="output")
    >>> table.columns.tolist(), len(table)
    (['layer', 'depth', 'relative_depth', 'D', 'G', 'R'], 1)
    """
    check_inputs(rank=4, images=images)
    chunks = perturbations(
        images,
        displacement=displacement,
        cut=cut,
        noise=noise,
        interpolation=interpolation,
        generator=generator,
    )
    return _measure(model, images, chunks, layers, statistic, batch_size, batch_statistics, device, progress)


def compare(
    model: nn.Module,
    clean: Float[Tensor, " image *shape"],
    deformed: Float[Tensor, " image *shape"],
    noisy: Float[Tensor, " image *shape"],
    *,
    layers="blocks",
    statistic="mean",
    batch_size=256,
    batch_statistics=False,
    device=None,
    progress=None,
) -> pd.DataFrame:
    """D, G and R as `sensitivity`, for deformed and noisy inputs that are given; inputs may have any shape.

    Serves the scale-detection tasks of A (Figs. 6 and 9), whose τ moves single pixels, and 1-D networks.

    >>> x = torch.eye(4)
    >>> table = compare(torch.nn.Linear(4, 3), x, x.roll(1, dims=1), x + 0.1, layers=["input"])
    >>> round(float(table["D"].iloc[0]), 3)  # ‖τx − x‖² = 2, mean over the 16 pairs 2 · 12/16
    1.333
    """
    check_inputs(clean=clean, deformed=deformed, noisy=noisy)
    chunks = partial(_slices, (clean, deformed, noisy))
    return _measure(model, clean, chunks, layers, statistic, batch_size, batch_statistics, device, progress)


def check_inputs(*, rank=None, **sets):
    """One sentence for what cannot be probed: sets of inputs by the names of the arguments they came in.

    >>> check_inputs(rank=4, images=torch.rand(2, 3, 8, 8))  # says nothing where nothing is wrong
    """
    expected = next(iter(sets.values()))
    for name, inputs in sets.items():
        if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
            kind = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
            raise ValueError(f"{name} must be a float tensor, normalised as the network expects, not {kind}")
        shape = tuple(inputs.shape)
        if rank is not None and inputs.ndim != rank:
            raise ValueError(f"{name} must have the axes image, channel, height, width, not shape {shape}")
        if inputs.ndim == 0 or len(inputs) < 2:
            raise ValueError(f"{name} must hold at least 2 images to compare, but has shape {shape}")
        if inputs.shape != expected.shape:
            raise ValueError(f"{name} must have the shape {tuple(expected.shape)} of the others, not {shape}")
        if not all(bool(part.isfinite().all()) for part in inputs.split(256)):
            raise ValueError(f"{name} must be finite, but holds NaN or infinite values")


def placed(model, device, images):
    """(the model, or a copy of it on `device`; its device; its float type).

    >>> placed(nn.Linear(2, 2).double(), None, torch.rand(1, 2))[1:]
    (device(type='cpu'), torch.float64)
    """
    own = next(itertools.chain(model.parameters(), model.buffers()), None)
    home = images.device if own is None else own.device
    device = home if device is None else torch.device(device)
    if own is not None and device != home:
        model = copy.deepcopy(model).to(device)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), images.dtype)
    return model, device, dtype


def _measure(model, images, chunks, layers, statistic, batch_size, batch_statistics, device, progress):
    """Run chunks(batch_size, device) of (x, τx, x + η) through the model and reduce every chosen layer."""
    if statistic not in moments.STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(moments.STATISTICS)}, not {statistic!r}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, not {batch_size!r}")
    count = len(images)
    batch_size = count if batch_statistics else batch_size
    model, device, dtype = placed(model, device, images)
    with reading.undisturbed(model, device, batch_statistics=batch_statistics, sets=3):
        sample = torch.cat([images[:2]] * (3 if batch_statistics else 1)).to(device, dtype)
        chosen = reading.choose(model, reading.trace(model, sample), layers)
        groups = _groups(chosen, statistic, count, dtype)
        results, done = {}, 0
        for group in groups:
            reducers = {layer.key: moments.reducer(statistic, count) for layer in group}
            for triple in chunks(batch_size, device):
                size = len(triple[0])
                stacked = torch.cat(triple).to(dtype)
                _reduce(model, stacked, size, reducers)
                before, done = done, done + size
                if progress is not None:
                    progress(done // len(groups) - before // len(groups))
            for layer in group:
                if reducers[layer.key].seen != count:
                    raise ValueError(f"layers: {layer.label!r} does not run in every forward pass")
                results[layer.key] = reducers[layer.key].result()
    return _table(chosen, [results[layer.key] for layer in chosen])


def _reduce(model, stacked, size, reducers):
    """One forward pass of the stacked [3 · size, ...] inputs; each output goes to its reducer at once."""

    def visit(key, output):
        if key in reducers:
            found = reading.features(output, len(stacked))
            if found is None:
                raise ValueError(f"layers: {key[0]!r} returns features for some of the images only")
            reducers[key].update(*found.unflatten(0, (3, size, -1)))

    reading.sweep(model, stacked, visit, {name for name, call in reducers if call > 0})


def _groups(chosen, statistic, count, dtype):
    """Consecutive layers whose reducers fit into KEPT_BYTES together; for the mean, all layers."""
    if statistic == "mean":
        return [chosen]
    groups, room = [], 0
    for layer in chosen:
        need = moments.kept_numbers(statistic, count, layer.size) * max(dtype.itemsize, 4)
        if need > KEPT_BYTES:
            raise ValueError(
                f"statistic={statistic!r} would keep {need / 1e9:.1f} GB for layer {layer.label!r}, "
                f"more than {KEPT_BYTES / 1e9:.1f} GB: take statistic='mean', fewer images or a smaller layer"
            )
        if need > room:
            groups.append([])
            room = KEPT_BYTES
        groups[-1].append(layer)
        room -= need
    return groups


def _table(chosen, results):
    tau, eta, normaliser = np.array(results).T
    normaliser = np.where(normaliser > 0, normaliser, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.isnan(normaliser), np.nan, tau / eta)
    values = {"D": tau / normaliser, "G": eta / normaliser, "R": ratio}
    return pd.DataFrame(reading.table_index(chosen) | values)


def _slices(sets, batch_size, device):
    parts = zip(*(inputs.split(batch_size) for inputs in sets), strict=True)
    return ([part.to(device) for part in triple] for triple in parts)
