"""The study `omissions`: configs and rows, tables, figures, claims."""
