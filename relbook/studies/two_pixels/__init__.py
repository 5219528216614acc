"""The constructions for two pixels: claims."""
