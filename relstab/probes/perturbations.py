r"""The deformed and the noisy images behind D and G (B Sec. 3, A Sec. 2): one τ and one η for each image and draw.

τ is a maximum-entropy diffeomorphism of typical displacement δ and cut-off c (B Eqs. 2-3). η is as large as
what τ does: of norm ‖η_i‖ = ‖τx_i − x_i‖ for every image i (radius "per_image", the authors' code), or of the
mean of that norm over the images for all of them ("fixed", what B writes). Its direction is one of two kinds::

    "white"      Gaussian, isotropic in the space of images (the papers)
    "matched"    η_i = F⁻¹[F(τx_i − x_i) e^{iφ}], random phases φ(−k) = −φ(k), φ(0) = 0, one set an image:
                 the spectrum of τx_i − x_i, the covariance of its channels and its norm are kept exactly

The coefficients of τ and the numbers behind η are drawn on the CPU, image after image, from streams seeded by
`generator`: a chunk of 7 and one of 512, a laptop and a GPU see the same τ and η. All cut-offs start from the
same seeds, and all displacements share the coefficients of their cut-off: a sweep sees what single calls see.

>>> images = torch.rand(4, 1, 16, 16)
>>> chunks = perturbations(images, generator=torch.Generator().manual_seed(0))
>>> [clean.shape[0] for clean, deformed, noisy in chunks(3, images.device)]
[3, 1]
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from relstab import diffeo
from relstab.diffeo import ensemble
from relstab.diffeo.fields import cpu_generator, is_integer

NOISES = ("white", "matched")
RADII = ("per_image", "fixed")
COUNTED = 256  # fields of each pair that are looked at for folds
Chunked = Callable[[int], Iterable[Tensor]]  # of a chunk's length: runs through chunks


class Perturbations:
    """x, τx and x + η for all pairs (displacement, cut) and all draws, in chunks.

    displacement and cut: a number each, or lists, whose product is taken; `pairs` holds it in that order.
    folded[pair]: (how many fields fold, how many were looked at), after a run through `chunks`.
    """

    def __init__(
        self,
        *,
        displacement: float | int | Iterable[SupportsFloat] = 1.0,
        cut: int | Iterable[SupportsIndex] = 3,
        draws: int = 1,
        noise: str = "white",
        radius: str = "per_image",
        interpolation: str = "bilinear",
        generator: torch.Generator | None = None,
    ):
        if noise not in NOISES:
            hint = f"; that is radius={noise!r}" if noise in RADII else ""
            raise ValueError(f"noise must be 'white' or 'matched', not {noise!r}{hint}")
        if radius not in RADII:
            raise ValueError(f"radius must be 'per_image' or 'fixed', not {radius!r}")
        if not is_integer(draws) or draws < 1:
            raise ValueError(f"draws must be an integer, 1 or more, not {draws!r}")
        displacements, cuts = _listed("displacement", displacement), _listed("cut", cut)
        self.pairs = [(delta, c) for delta in displacements for c in cuts]
        for delta, c in self.pairs:
            ensemble.check_cut(c, drawn=True)
            diffeo.temperature(delta, c, 2)  # says what is wrong with a displacement
        self.pairs = [(float(delta), int(c)) for delta, c in self.pairs]
        self.draws, self.noise, self.radius, self.interpolation = draws, noise, radius, interpolation
        generator = cpu_generator(generator)
        self.seeds = [torch.randint(2**62, (2,), generator=generator).tolist() for _ in range(draws)]
        self.folded = {}

    def chunks(
        self, images: Chunked, size: int, device: torch.device, wanted: Iterable[int] | None = None
    ) -> Iterator[tuple[Tensor, Iterator]]:
        """Run through (x, changed), changed being an iterator over ((pair, draw), τx, x + η), draw after draw.

        Args:
            images: a function of a chunk's length that runs through chunks.
            wanted: the pairs to make, by number.

        The iterator must be used up before the next chunk is asked for.
        """
        wanted = range(len(self.pairs)) if wanted is None else wanted
        radii = self._fixed_radii(images, size, device, wanted) if self.radius == "fixed" else {}
        self.folded = dict.fromkeys(wanted, (0, 0))
        streams = self._streams()
        for part in images(size):
            part = part.to(device)
            yield self._still(part), self._changed(part, streams, wanted, radii)

    def _streams(self) -> list[tuple[dict[int, torch.Generator], torch.Generator]]:
        """Generators of every draw: of the coefficients by cut-off, and of η."""
        cuts = {cut for _, cut in self.pairs}
        return [
            ({cut: torch.Generator().manual_seed(tau) for cut in cuts}, torch.Generator().manual_seed(eta))
            for tau, eta in self.seeds
        ]

    def _still(self, part: Tensor) -> Tensor:
        """x; with "gaussian", which blurs even at τ = 0, the blurred image, as in B."""
        if self.interpolation != "gaussian":
            return part
        still = torch.zeros(len(part), 2, *part.shape[-2:], dtype=part.dtype, device=part.device)
        return diffeo.warp(part, still, "gaussian")

    def _moved(self, part: Tensor, taus: dict, wanted: Iterable[int], *, count: bool = False) -> Iterator[tuple]:
        """(pair, τx) of one draw."""
        size, coefficients = tuple(part.shape[-2:]), {}
        for pair in wanted:
            delta, cut = self.pairs[pair]
            if cut not in coefficients:
                drawn = diffeo.sample_coefficients(len(part), cut, generator=taus[cut])
                coefficients[cut] = drawn.to(part)
            temperature = diffeo.temperature(delta, cut, size)
            field = diffeo.displacement_field(coefficients[cut], temperature, size)
            if count:
                self._count_folds(pair, coefficients[cut], temperature, field)
            yield pair, diffeo.warp(part, field, self.interpolation)

    def _changed(self, part: Tensor, streams: list, wanted: Iterable[int], radii: dict) -> Iterator[tuple]:
        clean = self._still(part)
        for draw, (taus, stream) in enumerate(streams):
            shape = _white if self.noise == "white" else _phases
            numbers = shape(clean, stream)
            for pair, moved in self._moved(part, taus, wanted, count=draw == 0):
                change = moved - clean
                length = radii.get((draw, pair))
                if self.noise == "white":
                    length = _norms(change) if length is None else length
                    change, norms = numbers
                    scale = length / norms
                else:
                    change = _dephased(change, numbers)
                    scale = None if length is None else length / _norms(change)
                if scale is not None:
                    change = change * scale.reshape(-1, *[1] * (change.ndim - 1))
                yield (pair, draw), moved, clean + change

    def _fixed_radii(self, images: Chunked, size: int, device: torch.device, wanted: Iterable[int]) -> dict:
        """{(draw, pair): mean over images of ‖τx − x‖}."""
        norms, streams = {}, self._streams()
        for part in images(size):
            part = part.to(device)
            clean = self._still(part)
            for draw, (taus, _) in enumerate(streams):
                for pair, moved in self._moved(part, taus, wanted):
                    norms.setdefault((draw, pair), []).append(_norms(moved - clean))
        return {key: _mean(torch.cat(found)) for key, found in norms.items()}

    def _count_folds(self, pair: int, coefficients: Tensor, temperature: float, field: Tensor) -> None:
        folds, seen = self.folded[pair]
        if seen < COUNTED:
            rest = COUNTED - seen
            doubtful = ~ensemble.surely_bijective(coefficients[:rest], temperature, field.shape[-2:])
            if doubtful.any():
                folds += int((~diffeo.is_bijective(field[:rest][doubtful])).sum())
            self.folded[pair] = folds, seen + len(doubtful)


def perturbations(images: Float[Tensor, "image channel height width"], **options: Any) -> Callable[..., Iterator]:
    """A function chunks(batch_size, device) that runs through triples (x, τx, x + η), each time the same.

    The images stay where they are, chunks are moved to `device`. Options are those of `Perturbations`, for one
    displacement, one cut-off and one draw.
    """
    made = Perturbations(**options)
    if len(made.pairs) * made.draws > 1:
        raise ValueError("perturbations makes one displacement, one cut and one draw; use Perturbations")

    def chunks(batch_size, device):
        for clean, changed in made.chunks(images.split, batch_size, device):
            ((_, moved, noisy),) = changed
            yield clean, moved, noisy

    return chunks


def _listed(name: str, values: Any) -> list:
    if isinstance(values, str | bytes | dict | set):
        raise ValueError(f"{name} must be a number or a list of numbers, not {values!r}")
    try:
        found = list(values)
    except TypeError:  # a single number, or an array without axes
        found = [values]
    found = [value.item() if hasattr(value, "item") else value for value in found]
    if not found:
        raise ValueError(f"{name} must be a number or a list of numbers, not an empty list")
    return found


def _white(clean: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """(normal numbers, their norms), one call an image: what many at once are depends on how many.

    Always drawn in float32, so that a float64 run sees the same η.
    """
    numbers = torch.empty(clean.shape, dtype=torch.float32)
    for image in numbers:
        image.normal_(generator=stream)
    numbers = numbers.to(clean)
    return numbers, _norms(numbers)


def _phases(clean: Tensor, stream: torch.Generator) -> Tensor:
    """e^{iφ} on the frequencies of rfft2 [image, 1, height, width // 2 + 1]: odd phases are those of a real picture."""
    height, width = clean.shape[-2:]
    pictures = torch.stack([torch.randn(height, width, generator=stream) for _ in clean])
    waves = torch.fft.rfft2(pictures.double())
    waves = waves / waves.abs()
    waves[:, 0, 0] = 1
    return waves[:, None].to(clean.device, _precision(clean).to_complex())


def _dephased(change: Tensor, waves: Tensor) -> Tensor:
    """The change with its phases turned by those of the waves."""
    spectrum = torch.fft.rfft2(change.to(_precision(change))) * waves
    return torch.fft.irfft2(spectrum, s=change.shape[-2:]).to(change)


def _precision(images: Tensor) -> torch.dtype:
    return torch.promote_types(images.dtype, torch.float32)


def _norms(images: Tensor) -> Float[Tensor, " image"]:
    """‖x_i‖ of each image."""
    return images.flatten(1).square().sum(1).sqrt()


def _mean(norms: Float[Tensor, " image"]) -> Float[Tensor, ""]:
    return norms.double().mean().to(norms.dtype) if norms.device.type != "mps" else norms.mean()
