"""What needs no training: networks with homogeneous filters (paper A, Sec. 4 and App. A; slides D).

>>> from relstab import theory
>>> [round(extent, 4) for extent in theory.effective_receptive_field(3, 3).tolist()]  # sqrt(2 k / 3)
[0.8165, 1.1547, 1.4142]
"""

from relstab.theory.diffusion import diffusion_constant, drift, effective_receptive_field, gaussian, kernel, walk
from relstab.theory.homogeneous import asymptotes, homogeneous_sensitivities, local_exponents

__all__ = [
    "asymptotes",
    "diffusion_constant",
    "drift",
    "effective_receptive_field",
    "gaussian",
    "homogeneous_sensitivities",
    "kernel",
    "local_exponents",
    "walk",
]
