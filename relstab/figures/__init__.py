"""Figures: tidy rows in, a matplotlib Figure out; nothing here trains, loads or saves."""
