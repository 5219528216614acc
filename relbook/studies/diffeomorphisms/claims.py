"""What is measured for the claims on random deformations (B Sec. 2, Fig. 1). The study draws fields and trains nothing."""

import math

from relbook.measurement import exact
from relstab import diffeo


def log_slope():
    """Growth of the exact mean squared displacement at the centre, per n² T, with ln c from c = 100 to 400."""
    low, high = (diffeo.displacement(1.0, cut, 32, exact=True) ** 2 / 32**2 for cut in (100, 400))
    return exact((high - low) / math.log(4))
