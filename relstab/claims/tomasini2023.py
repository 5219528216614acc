"""Claims of tomasini2023."""

CLAIMS = []
