"""What is measured for the claims on what the papers leave out: exact sums and counts, and large samples of filters."""

from relbook.measurement import Measurement, exact
from relbook.studies.omissions import effects
from relbook.studies.scale_detection.tasks import image_task


def median_ratio() -> Measurement:
    """What the authors' code calls a median over the median, for ten normal components."""
    return exact(effects.median_ratio())


def labels_changed() -> Measurement:
    """Share of inputs and moves to a neighbouring pixel that reach the other class, ξ = 14, g = 2, 32 x 32 pixels."""
    return exact(effects.label_changes(image_task(1, 32, 14, gap=2), 14, 2))


def untrained_filters() -> Measurement:
    """Mean of TV/L1 over single 3 x 3 filters from the truncated normal law, 200,000 of them."""
    return exact(effects.roughness().loc["truncated normal", "slices"])


def scatter_of_layer(*, filters: int) -> Measurement:
    """Standard deviation of TV/L1 of untrained filters, averaged over a layer with so many:
    one filter's over √filters.
    """
    each = effects.untrained_filters("truncated normal").flatten(1).double().unflatten(1, (3, 3))
    variation = sum(each.diff(dim=axis).abs().sum((1, 2)) for axis in (1, 2))
    return exact((variation / each.abs().sum((1, 2))).std().item() / filters**0.5)
