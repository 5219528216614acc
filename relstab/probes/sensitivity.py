r"""D, G and R of a network's layers (Tomasini 2023, Eq. 1; Petrini 2021, Eqs. 4-5), in one streaming pass.

For a network with features f, images x, diffeomorphisms τ and noise η of the same norm as τx − x,

$$\begin{gathered} D = \frac{E\,\|f(\tau x) - f(x)\|^2}{\Delta}, \quad
  G = \frac{E\,\|f(x + \eta) - f(x)\|^2}{\Delta}, \\
  \Delta = E\,\|f(x_1) - f(x_2)\|^2, \quad R = \frac DG . \end{gathered}$$

Images are taken in chunks; x, τx and x + η of a chunk go through the network as one batch, and each layer's
output is reduced (`relstab.probes.moments`) the moment it appears. Nothing is cached: the memory is that of one
forward pass, and no in-place operation that follows can change what was read.

>>> import torch
>>> images = torch.rand(6, 3, 32, 32)
>>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
>>> sensitivity(model, images, seed=0)["layer"].tolist()
['input', '1', 'output']
"""

import copy
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, SupportsFloat, SupportsIndex

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from relstab.diffeo.fields import FLOATS, is_integer, no_tensor
from relstab.probes import layers as reading
from relstab.probes import moments
from relstab.probes.perturbations import Perturbations

KEPT_BYTES = 2**31  # what the two median statistics may hold in host memory at a time
HELD_BYTES = 2**28  # what the images of a sweep's chunk may take, deformed and noisy ones included
ERROR_BARS = ["R_low", "R_high"]
FOLDING_SHARE = 0.01  # of the fields may fold without a word
_LEVEL = 1.959964  # normal quantile of a two-sided 95 % interval


class FoldingWarning(UserWarning):
    """Some of the fields fold: they are no diffeomorphisms, and D and R no sensitivities to diffeomorphisms."""


def sensitivity(
    model: nn.Module,
    images: Float[Tensor, "image channel height width"] | Iterable,
    *,
    layers: Literal["blocks", "output", "all"] | Iterable[str] = "blocks",
    displacement: float | int | Iterable[SupportsFloat] = 1.0,
    cut: int | Iterable[SupportsIndex] = 3,
    statistic: Literal["mean", "median", "component_median"] = "mean",
    noise: Literal["white", "matched"] = "white",
    radius: Literal["per_image", "fixed"] = "per_image",
    interpolation: Literal["bilinear", "gaussian", "nearest"] = "bilinear",
    batch_statistics: bool | None = None,
    draws: int = 1,
    batch_size: SupportsIndex = 32,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    device: str | torch.device | None = None,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    r"""Relative sensitivity to diffeomorphisms, $R = D / G$, of any network, one row per layer.

    $D = E\|f(\tau x) - f(x)\|^2 / \Delta$, $G = E\|f(x + \eta) - f(x)\|^2 / \Delta$ with
    $\Delta = E\|f(x_1) - f(x_2)\|^2$ over all ordered pairs of images [A, Eq. 1; B, Eqs. 4-5].

    Args:
        model: any module that maps [image, channel, height, width] to features; it is run in evaluation mode
            and left as it was found. torch.compile and DataParallel are looked through.
        images: P >= 2 floats [image, channel, height, width], normalised as the network expects, on any device
            (the papers take 500); or an iterable of such batches or of tuples that begin with one (a
            DataLoader), in any number. Batches are read as they come, but gathered in memory first for medians,
            radius "fixed" and batch statistics.
        layers: "blocks" (input, blocks, output), "output", "all" or module names: `relstab.probes.layers`.
        displacement: typical displacement δ of τ in pixels (nominal, B Eq. 3), or a list of them.
        cut: cut-off c of τ, or a list of them. All pairs of δ and c are measured in one pass with the same
            draws, and the table gets the columns displacement and cut.
        statistic: "mean" (A), "median" of the squared norms, or "component_median", the sum over components
            of medians (the code of B): `relstab.probes.moments`. The medians keep all features of a layer in
            host memory, at most `KEPT_BYTES` at a time, and run the network again for the next layers.
        noise: "white", or "matched", which has the spectrum and the covariance of channels of τx − x.
        radius: "per_image", ‖η_i‖ = ‖τx_i − x_i‖, or "fixed", their mean over the images.
        interpolation: "bilinear", "gaussian" (x is then blurred too, as in B) or "nearest".
        batch_statistics: BatchNorm normalises by the statistics of the clean, of the deformed and of the
            noisy images, as the papers do at initialisation: in all layers (True), none (False) or those that
            never saw data (None). All images then form one chunk, whatever `batch_size`: memory grows with P.
        draws: how many τ and η for each image.
        batch_size: images a chunk; at most three times as many are in a forward pass. The result does not
            depend on it. The default takes 4 GB for VGG16 at 224 pixels (2.0 GB at 16, measured on a CPU).
        seed: of τ and η; the same as generator=torch.Generator().manual_seed(seed).
        generator: CPU generator of τ and η; without it and without a seed they are drawn afresh.
        device: where to run; a model that is elsewhere is copied there. Default: the model's device.
        progress: called as progress(n) after each chunk, n more of the P images being done (`tqdm.update`).

    Returns:
        A table with the columns layer, depth (0 for the input, K for the last row), relative_depth (k/K), D, G,
        R, R_low and R_high: a 95 % interval over images and draws, $R\,e^{\pm1.96 s}$ with s the standard error
        of ln R by the delta method (`relstab.probes.moments`). They are NaN in a layer that gives the same
        features for all images. `attrs` holds the settings.

    Raises:
        ValueError: for images that are not finite floats of rank 4, fewer than two, unknown layers, statistic
            or noise, medians of a layer too large to be kept, and for networks whose output for an image is
            random or depends on the other images of the batch.

    Warns:
        FoldingWarning: more than 1 % of the fields fold (of the first 256 of each pair).

    A model is to be probed by one thread at a time: hooks are shared.

    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 10))
    >>> table = sensitivity(model, torch.rand(8, 1, 32, 32), layers="output", draws=4)
    >>> table.columns.tolist()
    ['layer', 'depth', 'relative_depth', 'D', 'G', 'R', 'R_low', 'R_high']
    """
    made = Perturbations(
        displacement=displacement,
        cut=cut,
        draws=draws,
        noise=noise,
        radius=radius,
        interpolation=interpolation,
        generator=_generator(seed, generator),
    )
    source = _Images(images)
    table = _measure(model, source, made, layers, statistic, batch_size, batch_statistics, device, progress)
    _warn_of_folds(made)
    swept = isinstance(_plain(displacement), list) or isinstance(_plain(cut), list)
    if not swept:
        table = table.drop(columns=["displacement", "cut"])
    table.attrs |= {
        "displacement": _plain(displacement), "cut": _plain(cut), "statistic": statistic, "noise": noise,
        "radius": radius, "interpolation": interpolation, "draws": draws, "seed": seed,
    }  # fmt: skip
    return table


def point_values(model: nn.Module, images: Tensor | Iterable, **options: Any) -> pd.DataFrame:
    """`sensitivity` without error bars, for rows that are kept, and silent where fields fold,
    as some of the papers' do.

    >>> columns = point_values(nn.Flatten(), torch.rand(4, 1, 8, 8), displacement=4.0, cut=10).columns
    >>> columns.tolist()
    ['layer', 'depth', 'relative_depth', 'D', 'G', 'R']
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FoldingWarning)
        table = sensitivity(model, images, **{"batch_size": 256, "batch_statistics": False} | options)
    return table.drop(columns=ERROR_BARS)


def compare(
    model: nn.Module,
    clean: Float[Tensor, " image *shape"],
    deformed: Float[Tensor, " image *shape"],
    noisy: Float[Tensor, " image *shape"],
    *,
    layers: Literal["blocks", "output", "all"] | Iterable[str] = "blocks",
    statistic: Literal["mean", "median", "component_median"] = "mean",
    batch_size: SupportsIndex = 256,
    batch_statistics: bool | None = False,
    device: str | torch.device | None = None,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """D, G and R as `point_values`, for deformed and noisy inputs that are given; inputs may have any shape.

    Serves the scale-detection tasks of A (Figs. 6 and 9), whose τ moves single pixels, and 1-D networks.

    >>> x = torch.eye(4)
    >>> table = compare(torch.nn.Linear(4, 3), x, x.roll(1, dims=1), x + 0.1, layers=["input"])
    >>> round(float(table["D"].iloc[0]), 3)  # ‖τx − x‖² = 2, mean over the 16 pairs 2 · 12/16
    1.333
    """
    check_inputs(clean=clean, deformed=deformed, noisy=noisy)
    source, given = _Images(clean, rank=None), _Given(clean, deformed, noisy)
    table = _measure(model, source, given, layers, statistic, batch_size, batch_statistics, device, progress)
    return table.drop(columns=["displacement", "cut", *ERROR_BARS])


def check_inputs(*, rank: int | None = None, **sets: Any) -> None:
    """One sentence for what cannot be probed: sets of inputs by the names of the arguments they came in.

    >>> check_inputs(rank=4, images=torch.rand(2, 3, 8, 8))  # says nothing where nothing is wrong
    """
    expected = next(iter(sets.values()))
    for name, inputs in sets.items():
        _check_batch(name, inputs, rank)
        if len(inputs) < 2:
            raise ValueError(f"{name} must hold at least 2 images to compare, but has shape {tuple(inputs.shape)}")
        if inputs.shape != expected.shape:
            raise ValueError(
                f"{name} must have the shape {tuple(expected.shape)} of the others, not {tuple(inputs.shape)}"
            )


def _check_batch(name: str, inputs: Any, rank: int | None) -> None:
    """What is asked of any tensor of inputs, of however many images."""
    kind = no_tensor(inputs) or (None if inputs.dtype in FLOATS else inputs.dtype)
    if kind is not None:
        raise ValueError(f"{name} must be a float tensor, normalised as the network expects, not {kind}")
    shape = tuple(inputs.shape)
    if rank is not None and inputs.ndim != rank:
        raise ValueError(f"{name} must have the axes image, channel, height, width, not shape {shape}")
    if inputs.ndim == 0 or 0 in shape:
        raise ValueError(f"{name} must hold at least 2 images to compare, but has shape {shape}")
    # One sum is several times cheaper than isfinite on every value, and settles it unless it overflows.
    if not all(bool(part.sum().isfinite() or part.isfinite().all()) for part in inputs.split(256)):
        raise ValueError(f"{name} must be finite, but holds NaN or infinite values")


def placed(
    model: Any, device: str | torch.device | None, images: Tensor
) -> tuple[nn.Module, torch.device, torch.dtype]:
    """(the model, or a copy of it on `device`; its device; its float type).

    >>> placed(nn.Linear(2, 2).double(), None, torch.rand(1, 2))[1:]
    (device(type='cpu'), torch.float64)
    """
    model = reading.unwrapped(model)
    own = next(itertools.chain(model.parameters(), model.buffers()), None)
    home = images.device if own is None else own.device
    device = home if device is None else _device(device)
    if own is not None and device != home:
        model = copy.deepcopy(model).to(device)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), images.dtype)
    return model, device, dtype


def _device(device: object) -> torch.device:
    """The device with its number, as tensors name it ("cuda" is the present one, "cpu:0" is "cpu"); if it is there."""
    try:
        found = torch.empty(0, device="cpu" if str(device) == "cpu:0" else device).device
        reason = "it holds no values" if found.type == "meta" else None
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    if reason is not None:
        raise ValueError(f"device is {str(device)!r}, which cannot be used here: {reason}")
    return found


def _generator(seed: int | None, generator: torch.Generator | None) -> torch.Generator | None:
    if seed is None:
        return generator
    if generator is not None:
        raise ValueError("both seed and generator were given; give one of them")
    if not is_integer(seed) or not -(2**63) <= seed < 2**64:
        raise ValueError(f"seed must be an integer of 64 bits, not {seed!r}")
    return torch.Generator().manual_seed(int(seed))


def _plain(values: Any) -> Any:
    """A number or a list of numbers, as JSON has them."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(values, Iterable):
        return values
    return [value.item() if hasattr(value, "item") else value for value in values]


class _Images:
    """Images in chunks of any length, from a tensor or from an iterable of batches, checked as they come."""

    def __init__(self, images: Any, rank: int | None = 4):
        self.rank = rank
        self.count = None
        self.given = images
        if isinstance(images, Tensor) or not isinstance(images, Iterable) or _no_batches(images):
            check_inputs(rank=rank, images=images)
            self.count = len(images)
        else:
            self.rest = self._checked(images)
            found = list(itertools.islice(self.rest, 1))
            while found and sum(map(len, found)) < 2 and (more := next(self.rest, None)) is not None:
                found.append(more)
            if sum(map(len, found)) < 2:
                raise ValueError(f"images must hold at least 2 images to compare, but holds {sum(map(len, found))}")
            self.rest = itertools.chain(found, self.rest)
            self.given = torch.cat(found)

    @property
    def first(self) -> Tensor:
        """Some of the images, at least two."""
        return self.given[:64]

    def gather(self) -> None:
        """Hold all images as one tensor, so that they can be read again."""
        if self.count is None:
            self.given = torch.cat(list(self.rest))
            self.count = len(self.given)

    def chunks(self, size: int) -> Iterator[Tensor]:
        """The images in order, `size` at a time; those of an iterable once only, unless they were gathered."""
        if self.count is not None:
            yield from self.given.split(size)
            return
        held, count = [], 0
        for batch in self.rest:
            for part in batch.split(size):
                held, count = [*held, part], count + len(part)
                while count >= size:
                    whole = torch.cat(held) if len(held) > 1 else held[0]
                    yield whole[:size]
                    held, count = ([whole[size:]], count - size) if count > size else ([], 0)
        if held:
            yield torch.cat(held)

    def _checked(self, batches: Iterable) -> Iterator[Tensor]:
        shape = None
        for number, batch in enumerate(batches):
            if isinstance(batch, tuple | list) and len(batch) > 0:
                batch = batch[0]
            name = f"images, batch {number},"
            _check_batch(name, batch, self.rank)
            shape = batch.shape[1:] if shape is None else shape
            if batch.shape[1:] != shape:
                raise ValueError(
                    f"{name} must have images of the shape {tuple(shape)} of the first batch, not "
                    f"{tuple(batch.shape[1:])}"
                )
            yield batch


def _no_batches(images: object) -> bool:
    """Whether it can be run through, but not as batches of tensors."""
    return isinstance(images, np.ndarray | str | bytes | dict | pd.DataFrame)


class _Given:
    """Deformed and noisy inputs that were made elsewhere, in the place of `Perturbations`."""

    pairs, draws, radius = ((None, None),), 1, "per_image"

    def __init__(self, *sets: Tensor):
        self.sets = sets

    def chunks(self, _images: object, size: int, device: torch.device, _wanted: object = None) -> Iterator[tuple]:
        for clean, moved, noisy in zip(*(inputs.split(size) for inputs in self.sets), strict=True):
            yield clean.to(device), iter([((0, 0), moved.to(device), noisy.to(device))])


def _measure(
    model: Any,
    source: _Images,
    made: Perturbations | _Given,
    layers: Any,
    statistic: str,
    batch_size: Any,
    batch_statistics: bool | None,
    device: Any,
    progress: Any,
) -> pd.DataFrame:
    """Run x and all τx and x + η of `made` through the model, and reduce every chosen layer."""
    if statistic not in moments.STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(moments.STATISTICS)}, not {statistic!r}")
    if not is_integer(batch_size) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, not {batch_size!r}")
    if not (progress is None or callable(progress)):
        raise ValueError(f"progress must be a function, called as progress(n), not {progress!r}")
    batch_size = int(batch_size)  # NumPy's is none for torch
    model, device, dtype = placed(model, device, source.first)
    by_batch = bool(reading.norms_by_batch(model, batch_statistics))
    if by_batch or statistic != "mean" or made.radius == "fixed":
        source.gather()
    with reading.undisturbed(model, device, batch_statistics=batch_statistics, sets=3) as parts:
        sample = source.first.to(device, dtype)
        chosen = reading.choose_faithful(model, sample, layers, sets=3 if by_batch else 1)
        results, done = {}, 0
        jobs = _jobs(chosen, statistic, source.count, len(made.pairs), made.draws, dtype)
        for group, pairs in jobs:
            reducers = {layer.key: moments.reducer(statistic, source.count, made.draws) for layer in group}
            size, together = _plan(batch_size, len(pairs) * made.draws)
            if by_batch:
                size, together = source.count, 1
            held = max(size, min(batch_size, HELD_BYTES // (sample[0].nbytes * (1 + 2 * together))))
            for clean, changed in made.chunks(source.chunks, held, device, pairs):
                swept = by_batch and len(pairs) * made.draws > 1
                _chunk(model, clean, changed, size, together, dtype, group, reducers, parts if swept else None)
                before, done = done, done + len(clean)
                if progress is not None:
                    progress(done // len(jobs) - before // len(jobs))
            for layer in group:
                for pair, result in reducers[layer.key].results().items():
                    results[layer.key, pair] = result
    count = done // len(jobs)
    parts = [
        _table(chosen, made.pairs[pair], count, [results[layer.key, pair] for layer in chosen])
        for pair in range(len(made.pairs))
    ]
    table = pd.concat(parts, ignore_index=True)
    table.attrs = {
        "images": count,
        "layers": layers if isinstance(layers, str) else list(layers),
        "batch_statistics": by_batch,
    }
    return table


def _plan(batch_size: int, changes: int) -> tuple[int, int]:
    """(images a chunk, pairs of τx and x + η that share a forward pass of at most 3 batch_size images).

    >>> _plan(32, 1), _plan(32, 18), _plan(32, 100), _plan(1, 2)
    ((32, 1), (2, 18), (1, 47), (1, 1))
    """
    together = min(changes, max(1, (3 * batch_size - 1) // 2))
    return max(1, 3 * batch_size // (1 + 2 * together)), together


def _chunk(
    model: nn.Module,
    clean: Tensor,
    changed: Iterator,
    size: int,
    together: int,
    dtype: torch.dtype,
    group: list,
    reducers: dict,
    parts: Any,
) -> None:
    """The forward passes of a chunk: `size` images with `together` of their τx and x + η, until all are used up.

    parts: for a sweep of a network whose BatchNorm sees all images at once, so that x can share a pass with few of
    its changes: x goes through once, and the features that are read are kept.
    """
    for reducer in reducers.values():
        reducer.begin(len(clean))
    kept, first = {}, True
    if parts is not None:
        parts.sets = 1
        _forward(model, clean.to(dtype), group, lambda key, found: kept.update({key: found.clone()}))
        parts.sets = 2
    while part := list(itertools.islice(changed, together)):
        units = [unit for unit, *_ in part]
        sets = [*([] if kept else [clean]), *(inputs for _, *two in part for inputs in two)]
        for start in range(0, len(clean), size):

            def take(key, found):
                found = torch.cat([kept[key], found]) if kept else found
                reducers[key].update(found.unflatten(0, (1 + 2 * len(units), -1)), units, start, first)  # noqa: B023

            stacked = torch.cat([inputs[start : start + size] for inputs in sets]).to(dtype)
            _forward(model, stacked, group, take)
        first = False


def _forward(model: nn.Module, inputs: Tensor, group: list, take: Callable) -> None:
    """One forward pass; each output that is read goes to take(key, features [input, ...]) at once."""
    sizes = {layer.key: layer.size for layer in group}
    unread = set(sizes)

    def visit(key, output):
        if key in sizes:
            unread.discard(key)
            found = reading.features(output, len(inputs))
            if found is None or found.numel() != len(inputs) * sizes[key]:
                raise ValueError(f"layers: {key[0]!r} returns features for some of the images only")
            take(key, found.unflatten(0, (len(inputs), -1)))

    reading.sweep(model, inputs, visit, {name for name, call in sizes if call > 0})
    for layer in group:
        if layer.key in unread:
            raise ValueError(f"layers: {layer.label!r} does not run in every forward pass")


def _jobs(chosen: list, statistic: str, count: int | None, pairs: int, draws: int, dtype: torch.dtype) -> list[tuple]:
    """[(layers, pairs)]: what is measured in one pass over the images; more than one where KEPT_BYTES ask for it."""
    everything = list(range(pairs))
    if statistic == "mean":
        return [(chosen, everything)]

    def need(layer, pairs):
        return moments.kept_numbers(statistic, count, layer.size, pairs * draws) * max(dtype.itemsize, 4)

    whole = max(need(layer, pairs) for layer in chosen) <= KEPT_BYTES
    jobs = []
    for some in [everything] if whole else [[pair] for pair in everything]:
        room = 0
        for layer in chosen:
            bytes_ = need(layer, len(some))
            if bytes_ > KEPT_BYTES:
                raise ValueError(
                    f"statistic={statistic!r} would keep {bytes_ / 1e9:.1f} GB for layer {layer.label!r}, more than "
                    f"{KEPT_BYTES / 1e9:.1f} GB: take statistic='mean', fewer images or draws, or a smaller layer"
                )
            if bytes_ > room:
                jobs.append(([], some))
                room = KEPT_BYTES
            jobs[-1][0].append(layer)
            room -= bytes_
    return jobs


def _table(chosen: list, pair: tuple, count: int, results: list) -> pd.DataFrame:
    tau, eta, normaliser, error = np.array(results, dtype=float).T
    for layer, finite in zip(chosen, np.isfinite(tau + eta + normaliser), strict=True):
        if not finite:
            message = f"layers: the features of {layer.label!r} hold NaN or infinite values, and so does its row"
            warnings.warn(message, stacklevel=2)
    normaliser = np.where(normaliser > 0, normaliser, np.nan)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(np.isnan(normaliser), np.nan, tau / eta)
        factor = np.exp(_quantile(count - 1) * error)
        low, high = ratio / factor, ratio * factor
    values = {"D": tau / normaliser, "G": eta / normaliser, "R": ratio, "R_low": low, "R_high": high}
    return pd.DataFrame(reading.table_index(chosen) | values | dict(zip(("displacement", "cut"), pair, strict=True)))


def _quantile(freedom: int) -> float:
    """Student's t of a two-sided 95 % interval, to second order in 1/freedom (0.1 % from 10 on).

    >>> round(_quantile(10), 2), round(_quantile(499), 3)  # 2.23, 1.965
    (2.23, 1.965)
    """
    z = _LEVEL
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _warn_of_folds(made: Perturbations | _Given) -> None:
    shares = {made.pairs[pair]: folds / seen for pair, (folds, seen) in made.folded.items() if seen}
    bad = {pair: share for pair, share in shares.items() if share > FOLDING_SHARE}
    if bad:
        (delta, cut), share = max(bad.items(), key=lambda item: item[1])
        others = f" (and at {len(bad) - 1} more pairs)" if len(bad) > 1 else ""
        warnings.warn(
            f"{100 * share:.0f} % of the fields fold at displacement={delta:g}, cut={cut}{others}: they are no "
            "diffeomorphisms; see relstab.diffeo.temperature_range",
            FoldingWarning,
            stacklevel=3,
        )
