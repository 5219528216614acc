"""The study `ruderman`: configs and rows, tables, figures, claims."""
