"""What is measured for the claims on the constructions for two pixels (slides D): exact, no networks are trained."""

from relbook.measurement import exact
from relbook.studies.two_pixels.solutions import SOLUTIONS, output
from relstab.data.scale_detection import line_task


def off_the_ramp():
    """Largest difference between either solution's output and max(0, ξ - d), over all pairs of pixels."""
    task = line_task(1, 32, 7)
    images = task.images(value=1.0).squeeze(1).double()
    apart = (task.positions[:, 1, 0] - task.positions[:, 0, 0]).abs()
    ramp = (7 - apart.minimum(32 - apart)).clamp(min=0)
    return exact(max((output(images, 7, solution) - ramp).abs().max().item() for solution in SOLUTIONS))
