r"""Lazy and feature training of any network: the predictor α (f - f₀) and its limit (slides D; paper B, Sec. 6).

With weights :math:`w = w_0 + m/\alpha`, where w₀ is the start and m is what training moves,

.. math:: F_\alpha(x; m) = \alpha \left[ f(x; w_0 + m/\alpha) - f(x; w_0) \right]
          \;\xrightarrow{\alpha \to \infty}\; \nabla_w f(x; w_0) \cdot m .

F = 0 at the start (m = 0), whatever α. Large α is *lazy* training: the weights hardly move and F is linear in m. Small
α is *feature* training: to give an output of order one the weights must grow beyond their start. Gradient
descent on m with the loss L is gradient descent on w with the loss L/α², the usual convention: in it the
speed of lazy training does not depend on α, so that one step rule serves all α. The limit itself is the
network's tangent at its start, a linear model, exact at any width.

>>> from relstab import models
>>> net = models.build("fc_l2", in_channels=1, generator=torch.Generator().manual_seed(0))
>>> Predictor(net, 0.03)(torch.ones(2, 1, 28, 28)).abs().max().item()
0.0
"""

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap


class Centred(nn.Module):
    """net(x - mean): a network that takes images as they are and subtracts the mean image itself.

    So images are deformed before the mean is taken off, as a user's images would be.
    """

    def __init__(self, net: nn.Module, mean: Float[Tensor, "channel height width"]):
        super().__init__()
        self.net = net
        self.register_buffer("mean", mean)
        self.probe_points = tuple(f"net.{name}" for name in getattr(net, "probe_points", ()))

    def forward(self, images: Float[Tensor, "image channel height width"]) -> Float[Tensor, "image output"]:
        """Outputs of the network for the centred images."""
        return self.net(images - self.mean)


class Predictor(nn.Module):
    """F = α (f - f₀) of a network f that starts as `net`; α = inf is its tangent, the lazy limit.

    The parameters are `moves`, in the order of `net.parameters()`; nothing else has a gradient, and `net`
    itself is left as it is. `probe_points` are the network's, whose hidden layers move; the limit has none,
    for its hidden layers are those of the start.

    Raises ValueError unless α > 0.
    """

    def __init__(self, net: nn.Module, alpha: float):
        super().__init__()
        if not alpha > 0:
            raise ValueError(f"alpha is {alpha}; it must be positive (inf for the lazy limit)")
        self.alpha = float(alpha)
        self.net, self.start = (copy.deepcopy(net).requires_grad_(False) for _ in range(2))
        self.moves = nn.ParameterList(torch.zeros_like(weight) for weight in self.net.parameters())
        points = getattr(net, "probe_points", ()) if math.isfinite(self.alpha) else ()
        self.probe_points = tuple(f"net.{name}" for name in points)

    def weights(self) -> dict[str, Tensor]:
        """The weights w₀ + m/α by their names in `net`."""
        named = zip(self.start.named_parameters(), self.moves, strict=True)
        return {name: weight + move / self.alpha for (name, weight), move in named}

    def forward(
        self, images: Float[Tensor, "image channel height width"], base: Float[Tensor, "image output"] | None = None
    ) -> Float[Tensor, "image output"]:
        """F(images); `base` spares a forward pass where f₀(images) is known."""
        if math.isinf(self.alpha):
            return self._tangent(images)
        base = self.start(images) if base is None else base
        return self.alpha * (functional_call(self.net, self.weights(), (images,)) - base)

    def _tangent(self, images: Tensor) -> Tensor:
        """∇f · m. Reverse mode alone: u -> uᵀ∇f is linear in u, and m times its own gradient is ∇f · m."""
        start = dict(self.start.named_parameters())
        outputs, pull = vjp(lambda weights: functional_call(self.net, weights, (images,)), start)
        transposed = vjp(lambda u: pull(u)[0], torch.zeros_like(outputs))[1]
        return transposed(dict(zip(start, self.moves, strict=True)))[0]

    def weight_change(self) -> float:
        """‖w - w₀‖ / ‖w₀‖ over all weights; 0 in the limit."""
        moved = math.hypot(*(move.norm().item() for move in self.moves)) / self.alpha
        return moved / math.hypot(*(weight.norm().item() for weight in self.start.parameters()))

    @torch.no_grad()
    def kernel_change(
        self, images: Float[Tensor, "image channel height width"], *, generator: torch.Generator
    ) -> float:
        r"""1 - cos(Θ, Θ₀) between the tangent kernels after and before training: 0 if it only grew, at most 1.

        :math:`\Theta(x, x') = \nabla_w g(x) \cdot \nabla_w g(x')` on `images` with g = u · f for a direction u
        of the outputs drawn from `generator`. Gradients are taken relative to their mean over the images, and
        the cosine is that of the matrices as vectors (centred kernel alignment).
        """
        count = self.start(images[:1]).shape[1]
        direction = torch.randn(count, generator=generator).to(images)

        def gram(weights):
            def projected(weights, image):
                return functional_call(self.net, weights, (image.unsqueeze(0),)).squeeze(0) @ direction

            slopes = vmap(grad(projected), in_dims=(None, 0))(weights, images)
            rows = torch.cat([slope.flatten(1) for slope in slopes.values()], 1).double()
            rows -= rows.mean(0)
            return rows @ rows.T

        now, before = gram(self.weights()), gram(dict(self.start.named_parameters()))
        return max(0.0, 1 - ((now * before).sum() / (now.norm() * before.norm())).item())
