r"""One architecture at several widths, trained for the same number of epochs: does R fall with the error? (B Sec. 4)

Units are those of `relbook.studies.trajectories`, with the same rows; the last point of a network is its result.

>>> sorted({unit.width for unit in configs("laptop")})
[0.125, 0.25, 0.5, 1.0]
"""

from dataclasses import dataclass
from typing import ClassVar

from relbook import scales
from relbook.studies.trajectories.study import Trajectory
from relbook.studies.zoo import study as zoo


@dataclass(frozen=True)
class Width(Trajectory):
    """One network of a width."""

    study: ClassVar[str] = "widths"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)


def configs(scale: str) -> list[Width]:
    """The units of a scale, in the order of their value per minute."""
    blocks = scales.WIDTHS[scales.check(scale)]
    return list(dict.fromkeys(unit for block in blocks for unit in zoo.expand(scale, block, Width)))
