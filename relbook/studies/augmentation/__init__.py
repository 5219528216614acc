"""The study `augmentation`: configs and rows, tables, figures, claims."""
