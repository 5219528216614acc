"""The study `sphere`: configs and rows, tables, figures, claims."""
