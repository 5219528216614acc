"""Claims of ruderman2018."""

CLAIMS = []
