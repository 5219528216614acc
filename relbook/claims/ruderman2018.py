"""Claims of paper C: Ruderman, Rabinowitz, Morcos, Zoran, "Learned deformation stability in convolutional neural
networks" (2018). Tolerances were set before the runs that they judge.
"""

from relbook.claims.ruderman2018_deformations import DEFORMATIONS
from relbook.claims.ruderman2018_stability import CLAIMS as STABILITY

CLAIMS = [*DEFORMATIONS, *STABILITY]
