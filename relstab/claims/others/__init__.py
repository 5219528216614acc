"""Claims on networks of public repositories."""
