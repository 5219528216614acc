"""The study `encoding`: configs and rows, tables, figures, claims."""
