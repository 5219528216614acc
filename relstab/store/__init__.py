"""Results by key: found, or run and kept, whatever happens meanwhile.

All figures of all papers read their rows from here. `get_or_run` looks a config up in the working store
(RELSTAB_STORE, default build/store), then among the published results (RELSTAB_RESULTS, default results/ of
the checkout), and runs what neither has (see `relstab.store.records` for the key, `relstab.store.units` for running).
Published floats are rounded to 7 significant digits. ::

    from relstab.store import executors
    from relstab import store
    from relbook import registry
    configs = registry.configs("zoo", "laptop")
    print(store.plan(configs))                       # 40 units: 12 found, 28 to run, about 190 minutes
    with executors.processes() as pool:
        rows = store.get_or_run(configs, pool, budget_minutes=60, progress=print)
    rows.missing                                     # units the budget left for the next call

With RELSTAB_NO_RUN=1 in the environment anything that would run is an error: proof that all was found.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relstab.store.results import (
        Plan,
        Rows,
        get_or_run,
        key,
        load,
        plan,
        provenance,
        publish,
        published,
        why,
        working,
    )

__all__ = ["Plan", "Rows", "get_or_run", "key", "load", "plan", "provenance", "publish", "published", "why", "working"]


def __getattr__(name: str) -> Any:
    """Loaded on first use: workers need `relstab.store.units` alone, and start fast without pandas."""
    if name in __all__:
        return getattr(importlib.import_module("relstab.store.results"), name)
    raise AttributeError(f"module 'relstab.store' has no attribute {name!r}")
