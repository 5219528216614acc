"""Claims of paper A: Tomasini, Petrini, Cagnetta, Wyart, "How deep convolutional neural networks lose spatial
information with training" (ICLR 2023). Tolerances were set before the runs that they judge.
"""

from relbook.claims.tomasini2023_images import SECTION_1, SECTION_2
from relbook.claims.tomasini2023_scale_detection import APPENDIX_A, SECTION_3, SECTION_4
from relbook.claims.tomasini2023_scale_detection_2d import SCALE_DETECTION_2D

CLAIMS = [*SECTION_1, *SECTION_2, *SECTION_3, *SCALE_DETECTION_2D, *SECTION_4, *APPENDIX_A]
