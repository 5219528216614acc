"""The study `zoo`: configs and rows, tables, figures, claims."""
