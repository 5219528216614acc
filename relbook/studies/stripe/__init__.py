"""The study `stripe`: configs and rows, tables, figures, claims."""
