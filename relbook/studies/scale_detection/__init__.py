"""The study `scale_detection`: configs and rows, tables, figures, claims."""
