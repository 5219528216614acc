"""The study `imagenet`: configs and rows, tables, figures, claims."""
