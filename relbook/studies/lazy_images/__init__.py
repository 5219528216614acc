"""The study `lazy_images`: configs and rows, tables, figures, claims."""
