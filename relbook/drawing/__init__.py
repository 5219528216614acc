"""What figures share: style, families of networks, depth profiles."""
