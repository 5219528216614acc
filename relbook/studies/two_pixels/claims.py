"""What is measured for the claims on the constructions for two pixels (slides D): exact, no networks are trained."""

from collections.abc import Sequence

from relbook.measurement import Measurement, exact
from relbook.studies.scale_detection.tasks import line_task
from relbook.studies.two_pixels.solutions import SOLUTIONS, layer_sensitivities, output
from relstab.theory.diffusion import walk


def off_the_ramp(*, scales: Sequence = (7,)) -> Measurement:
    """Largest difference between either solution's output and max(0, ξ - d), over all pairs of pixels and scales ξ."""
    worst = 0.0
    for xi in scales:
        task = line_task(1, 32, xi)
        images = task.images(value=1.0).squeeze(1).double()
        apart = (task.positions[:, 1, 0] - task.positions[:, 0, 0]).abs()
        ramp = (xi - apart.minimum(32 - apart)).clamp(min=0)
        worst = max(worst, *((output(images, xi, one) - ramp).abs().max().item() for one in SOLUTIONS))
    return exact(worst, [f"ξ = {xi}" for xi in scales] if len(scales) > 1 else ())


def layer_that_sees(*, scale: int, filter_size: int) -> Measurement:
    """The first layer in which a neuron's receptive field is as wide as the scale."""
    return exact(next(k for k in range(1, 100) if len(walk(k, filter_size)[0]) >= scale))


def first_layers() -> Measurement:
    """D of the first layer of the high-frequency solution over that of the low-frequency one."""
    D = layer_sensitivities().set_index(["layer", "solution"])["D"]
    return exact(D["first", "high"] / D["first", "low"])
