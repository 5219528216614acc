"""Claims on what training on JPEG copies does."""
