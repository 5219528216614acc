"""The pictures of `relstab probe` in the style of the book."""

from relbook.drawing.nets import drawn
from relstab.probes import picture

depth_profiles = drawn(picture.depth_profiles)
among_networks = drawn(picture.among_networks)
