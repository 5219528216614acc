"""The studies by name: each a table of configs per scale, and the rows they gave.

A study is a module with `configs(scale) -> list` of frozen config dataclasses (see `relstab.records`); it is
imported on first use, and knows nothing about files or plots. Its docstring says which papers' sections it
serves.

    from relstab import studies
    rows = studies.rows("zoo", "tiny")          # computes what is missing; at larger scales only reads
    best = studies.shown("zoo")                 # the largest scale that has rows: best.attrs["scale"]
"""

import importlib
import importlib.util

import pandas as pd

from relstab import scales, store

STUDIES = {
    "diffeomorphisms": "relstab.studies.diffeomorphisms",
    "zoo": "relstab.studies.zoo",
    "imagenet": "relstab.studies.imagenet",
    "scale_detection": "relstab.studies.scale_detection",
    "scale_detection_2d": "relstab.studies.scale_detection_2d",
    "stripe": "relstab.studies.stripe",
    "sphere": "relstab.studies.sphere",
    "lazy_images": "relstab.studies.lazy_images",
    "ruderman": "relstab.studies.ruderman",
    "measures": "relstab.studies.measures",
    "augmentation": "relstab.studies.augmentation",
    "bend_or_noise": "relstab.studies.bend_or_noise",
}


def names() -> list[str]:
    """The studies there are.

    >>> "zoo" in names()
    True
    """
    return [name for name, module in STUDIES.items() if importlib.util.find_spec(module) is not None]


def configs(study: str, scale: str) -> list:
    """The study's units at a scale, in the order in which they should run.

    Raises ValueError for an unknown study or scale, naming those there are.

    >>> units = configs("zoo", "tiny")
    >>> {unit.study for unit in units}, {unit.scale for unit in units}
    ({'zoo'}, {'tiny'})
    """
    scales.check(scale)
    if study not in names():
        raise ValueError(f"study is {study!r}; it must be one of {', '.join(names())}")
    return list(importlib.import_module(STUDIES[study]).configs(scale))


def rows(study: str, scale: str, *, compute: bool | None = None, executor=None) -> pd.DataFrame:
    """Tidy rows of a study: one line per row of every unit, the config's fields and then the row's columns.

    compute: run what is missing; by default at scale tiny only, so that no page ever starts a long run.
    attrs: study, scale, units, and missing, the number of units without rows. Errors as `store.get_or_run`.

    >>> frame = rows("diffeomorphisms", "laptop")  # reads; computes at scale tiny only
    >>> frame.attrs["study"], frame.attrs["scale"]
    ('diffeomorphisms', 'laptop')
    """
    units = configs(study, scale)
    if compute is None:
        compute = scale == "tiny"
    frame = store.get_or_run(units, executor) if compute else store.load(study, scale)
    frame.attrs |= {"study": study, "scale": scale}
    return frame


def shown(study: str, scale: str = "tiny", *, needs=None) -> pd.DataFrame:
    """Rows of the largest scale that has any, not below `scale`; computes nothing.

    needs: a function of the rows, for a figure that is about part of a study: scales for which it returns nothing
    (None, 0, an empty table or list) are passed over, so that an unfinished larger scale hides no finished figure.
    `attrs["scale"]` names the scale; where no larger scale has what is needed it is `scale`, and the frame may be empty.

    >>> shown("diffeomorphisms", "laptop").attrs["scale"] in ("laptop", "gpu", "paper")
    True
    """
    scales.check(scale)
    for larger in scales.SCALES[: scales.SCALES.index(scale) : -1]:
        frame = store.load(study, larger)
        if frame.attrs["missing"] < frame.attrs["units"] and (needs is None or _any(needs(frame))):
            return frame
    return store.load(study, scale)


def _any(found) -> bool:
    return bool(len(found) if hasattr(found, "__len__") else found)
