"""Claims on the maximum-entropy ensemble."""
