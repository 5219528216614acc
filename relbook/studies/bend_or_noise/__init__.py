"""The study `bend_or_noise`: configs and rows, tables, figures, claims."""
