"""The studies, one folder each: config to rows, rows to the numbers drawn, figures, claims."""
