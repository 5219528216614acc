"""The study `diffeomorphisms`: configs and rows, tables, figures, claims."""
