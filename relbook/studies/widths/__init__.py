"""The study `widths`: configs and rows, tables, claims."""
