"""The studies by name: each a table of configs per scale, and the rows they gave.

A study is a module with `configs(scale) -> list` of frozen config dataclasses (see `relstab.store.records`); it is
imported on first use, and knows nothing about files or plots. Its docstring says which papers' sections it
serves. ::

    from relbook import registry
    rows = registry.rows("zoo", "tiny")          # computes what is missing; at larger scales only reads
    best = registry.shown("zoo")                 # the largest scale that has rows: best.scale
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import pandas as pd

from relbook import scales
from relstab import store
from relstab.store import Rows, catalogue

STUDIES = {
    "diffeomorphisms": "relbook.studies.diffeomorphisms.study",
    "zoo": "relbook.studies.zoo.study",
    "imagenet": "relbook.studies.imagenet.study",
    "others": "relbook.studies.others.study",
    "scale_detection": "relbook.studies.scale_detection.study",
    "scale_detection_2d": "relbook.studies.scale_detection_2d.study",
    "stripe": "relbook.studies.stripe.study",
    "sphere": "relbook.studies.sphere.study",
    "lazy_images": "relbook.studies.lazy_images.study",
    "ruderman": "relbook.studies.ruderman.study",
    "measures": "relbook.studies.measures.study",
    "augmentation": "relbook.studies.augmentation.study",
    "encoding": "relbook.studies.encoding.study",
    "trajectories": "relbook.studies.trajectories.study",
    "widths": "relbook.studies.widths.study",
    "bend_or_noise": "relbook.studies.bend_or_noise.study",
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


def rows(study: str, scale: str, *, compute: bool | None = None, executor: Any = None) -> Rows:
    """Tidy rows of a study: one line per row of every unit, the config's fields and then the row's columns.

    Args:
        compute: run what is missing; by default at scale tiny only, so that no page ever starts a long run.

    They say what they are of (`relstab.store.Rows`). Errors as `store.get_or_run`.

    >>> frame = rows("diffeomorphisms", "laptop")  # reads; computes at scale tiny only
    >>> frame.study, frame.scale
    ('diffeomorphisms', 'laptop')
    """
    units = configs(study, scale)
    if compute is None:
        compute = scale == "tiny"
    found = store.get_or_run(units, executor) if compute else _load(tuple(units), catalogue.state(scale, study)).copy()
    return found.of(study, scale, units=found.units, missing=found.missing)


@functools.lru_cache(maxsize=64)
def _load(units: tuple, state: tuple) -> Rows:
    """Stored or published rows, read again only when the folders that they lie in have changed."""
    return store.load(units)


def shown(study: str, scale: str = "tiny", *, needs: Callable[[Rows], object] | None = None) -> Rows:
    """Rows of the largest scale that has any, not below `scale`; computes nothing.

    Args:
        needs: a function of the rows, for a figure that is about part of a study: scales for which it returns
            nothing (None, 0, an empty table or list) are passed over, so that an unfinished larger scale hides no
            finished figure.

    Their `scale` names it; where no larger scale has what is needed it is the one given, and the table may be empty.

    >>> shown("diffeomorphisms", "laptop").scale in ("laptop", "gpu", "paper")
    True
    """
    scales.check(scale)
    found = None
    for larger in scales.SCALES[: scales.SCALES.index(scale) : -1]:
        frame = rows(study, larger, compute=False)
        if frame.missing < frame.units and (needs is None or _any(needs(frame))):
            found = frame
            break
    found = rows(study, scale, compute=False) if found is None else found
    found.asked = scale
    return found


def computed(shown: pd.DataFrame) -> Rows | None:
    """What a notebook computed itself: the rows at the scale that it asked for, where `shown` gave it a larger one.

    None where the two are the same, nothing was computed, or a table is of no study.

    >>> computed(shown("diffeomorphisms", "laptop")) is None
    True
    """
    if not isinstance(shown, Rows) or shown.asked in ("", shown.scale):
        return None
    scale = shown.asked
    frame = rows(shown.study, scale, compute=False)
    frame.asked = scale
    return frame if len(frame) else None


def publish(study: str, scale: str) -> int:
    """Publish what is stored of a study at a scale (`relstab.store.publish`); the number of units published.

    Raises:
        ValueError: Scale tiny, which every reader computes; results that cannot be traced.
    """
    if scales.check(scale) == "tiny":
        raise ValueError("scale is 'tiny'; it must be laptop, gpu or paper: tiny rows are computed by each reader")
    return store.publish(configs(study, scale))


def _any(found: Any) -> bool:
    return bool(len(found) if hasattr(found, "__len__") else found)
