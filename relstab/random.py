"""Randomness as an argument: generators that follow from what they are for, and no global state."""

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def seeded(*parts: object, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator whose seed is a hash of `parts`: no state to keep, no accidental reuse.

    >>> bool(torch.rand(1, generator=seeded(0, "a")) == torch.rand(1, generator=seeded(0, "a")))
    True
    """
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


@contextlib.contextmanager
def global_draws(*parts: object, device: str | torch.device = "cpu") -> Iterator[None]:
    """Let what a network draws from torch's global generators (dropout) follow from `parts`, then restore their state.

    >>> before = torch.get_rng_state()
    >>> with global_draws(0, "dropout", 3):
    ...     first = torch.nn.functional.dropout(torch.ones(5))
    >>> with global_draws(0, "dropout", 3):
    ...     bool((torch.nn.functional.dropout(torch.ones(5)) == first).all())
    True
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    device, seed = torch.device(device), seeded(*parts).initial_seed()
    gpus = []
    if device.type == "cuda":
        gpus = [torch.cuda.current_device() if device.index is None else device.index]
    with torch.random.fork_rng(gpus):
        for generator in (torch.default_generator, *(torch.cuda.default_generators[index] for index in gpus)):
            generator.manual_seed(seed)
        yield
