"""The four scales of every study, in one readable table.

`tiny` runs in continuous integration (minutes on two cores, all notebooks together); `laptop` takes an hour
or a few on two cores; `gpu` about an hour on one GPU; `paper` is the papers' own setting. Everything that
depends on the scale is here, and nowhere else.
"""

SCALES = ("tiny", "laptop", "gpu", "paper")


# Maximum-entropy ensemble (B Fig. 1): random fields per cut-off. Nothing is trained: a second per thousand fields.
_CUTS = (2, 3, 4, 5, 7, 10, 15, 20, 30)
DIFFEOMORPHISMS = {
    "tiny": {"cuts": _CUTS, "samples": 1000},
    "laptop": {"cuts": (*_CUTS, 50), "samples": 4000},
    "gpu": {"cuts": (*_CUTS, 50, 100), "samples": 10000},
    "paper": {"cuts": (*_CUTS, 50, 100), "samples": 10000},
}

def check(scale):
    """Return the scale, or raise ValueError naming the four that exist.

    >>> check("tiny")
    'tiny'
    """
    if scale not in SCALES:
        raise ValueError(f"scale is {scale!r}; it must be one of {', '.join(SCALES)}")
    return scale
