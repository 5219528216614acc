"""The study `measures`: configs and rows, tables, figures, claims."""
