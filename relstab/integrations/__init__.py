"""Where people work: a metric for torchmetrics, a callback for Lightning.

Each module needs its package (`pip install torchmetrics`, `pip install lightning`), and says so in one sentence where
it is missing; nothing else of relstab imports them.
"""
