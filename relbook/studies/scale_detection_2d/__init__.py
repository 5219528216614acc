"""The study `scale_detection_2d`: configs and rows, tables, figures, claims."""
