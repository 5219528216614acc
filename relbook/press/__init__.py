"""From sources to pages: execute notebooks, decide what is current, render, check links."""
