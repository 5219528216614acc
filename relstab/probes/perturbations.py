"""The deformed and the noisy images behind D and G (B Sec. 3, A Sec. 2): one τ and one η for each image.

τ is a maximum-entropy diffeomorphism of typical displacement δ and cut-off c (B Eqs. 2-3). η is Gaussian and
isotropic with a norm that makes it comparable: ‖η_i‖ = ‖τx_i − x_i‖ for every image i ("per_image", what the
authors' code does), or the mean of that norm over the images for all of them ("fixed", what B writes).

The coefficients of τ and the directions of η are drawn on the CPU, image after image, from two streams seeded
by `generator`: a chunk of 7 and one of 512, a laptop and a GPU see the same τ and η.

>>> images = torch.rand(4, 1, 16, 16)
>>> chunks = perturbations(images, generator=torch.Generator().manual_seed(0))
>>> [clean.shape[0] for clean, deformed, noisy in chunks(3, images.device)]
[3, 1]
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from relstab import diffeo

NOISES = ("per_image", "fixed")


def perturbations(
    images: Float[Tensor, "image channel height width"],
    *,
    displacement=1.0,
    cut=3,
    noise="per_image",
    interpolation="bilinear",
    generator: torch.Generator | None = None,
):
    """A function chunks(batch_size, device) that runs through triples (x, τx, x + η), each time the same.

    Args: images [image, channel, height, width], float; displacement in pixels (nominal, B Eq. 3); noise
    "per_image" or "fixed"; interpolation as in `relstab.diffeo.warp`. With "gaussian", which blurs even at
    τ = 0, x is the blurred image, as in B. The images stay where they are, chunks are moved to `device`.
    """
    if noise not in NOISES:
        raise ValueError(f"noise must be 'per_image' or 'fixed', not {noise!r}")
    if generator is not None and generator.device.type != "cpu":
        raise ValueError(f"generator must be a CPU generator, not one on {generator.device}")
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    seeds = torch.randint(2**62, (2,), generator=generator).tolist()
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    temperature = diffeo.temperature(displacement, cut, tuple(images.shape[-2:]))
    coefficients = diffeo.sample_coefficients(len(images), cut, generator=streams[0])
    deformed = partial(_deformed, images, coefficients, temperature, interpolation)
    return partial(_perturbed, deformed, noise, seeds[1])


def _deformed(images, coefficients, temperature, interpolation, batch_size, device):
    """Chunks (x, τx)."""
    for part, drawn in zip(images.split(batch_size), coefficients.split(batch_size), strict=True):
        part = part.to(device)
        field = diffeo.displacement_field(drawn.to(part), temperature, tuple(images.shape[-2:]))
        clean = part if interpolation != "gaussian" else diffeo.warp(part, 0 * field, interpolation)
        yield clean, diffeo.warp(part, field, interpolation)


def _perturbed(deformed, noise, seed, batch_size, device):
    """Chunks (x, τx, x + η)."""
    radius = None
    if noise == "fixed":
        norms = torch.cat([_norms(moved - clean) for clean, moved in deformed(batch_size, device)])
        radius = norms.double().mean().to(norms.dtype) if norms.device.type != "mps" else norms.mean()
    stream = torch.Generator().manual_seed(seed)
    for clean, moved in deformed(batch_size, device):
        # One call an image: the numbers that torch.randn gives for many images at once depend on how many.
        # Always float32, so that a float64 run sees the same η.
        directions = [torch.randn(clean.shape[1:], generator=stream, dtype=torch.float32) for _ in clean]
        eta = torch.stack(directions).to(clean)
        length = _norms(moved - clean) if radius is None else radius
        scale = length / _norms(eta)
        yield clean, moved, clean + eta * scale.reshape(-1, *[1] * (eta.ndim - 1))


def _norms(images):
    """‖x_i‖ of each image."""
    return images.flatten(1).square().sum(1).sqrt()
