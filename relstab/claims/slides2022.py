"""Claims of slides2022."""

CLAIMS = []
