"""Claims of paper C on its random deformations, Sec. 2.1: geometry, no rows. C leaves its bound open; ours is 1, below
which no map can fold (`relstab.theory.random_fields.largest_gradient`).
"""

from relbook.claims import Claim, Interval, everywhere
from relstab.diffeo import thin_plate
from relstab.theory.random_fields import largest_gradient

SIZES = {"cifar10": 32, "imagenet": 224}


def _largest_gradient(rows):
    """Over both settings of C; pure geometry, there are no rows."""
    return max(largest_gradient(**thin_plate.PAPER[name], size=size) for name, size in SIZES.items())


DEFORMATIONS = [
    Claim(
        id="c-1-smooth", paper="ruderman2018", figure="fig-c-1",
        statement="The random deformations are smooth: their gradient is bounded, and so small that none can fold.",
        paper_value="‖∇τ‖ < C for some C", quantity="largest ‖∇τ‖ that any draw can have, in either setting; folds need 1",
        measure=_largest_gradient, tolerance=everywhere(Interval(high=1.0)),
    ),
]  # fmt: skip
