"""The study `trajectories`: configs and rows, tables, claims."""
