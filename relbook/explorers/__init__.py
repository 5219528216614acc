"""Explorers: pictures with controls that work without a kernel, because every frame is already in the page.

They are ipywidgets. A control is linked in the browser (`jslink`) to the index of a stack of frames, and a check
box hides curves by a rule of CSS; no Python runs when a reader moves them, and no script of our own is needed.
Frames are HTML: SVG, tables, or small compressed pictures, each with a text alternative. ipywidgets comes with
the extra "book"; it is imported when an explorer is built. ::

    temperature_and_cut    pictures under one diffeomorphism, over (c, T)            B Fig. 1
    depth_profiles         D, G and R by layer, network and data set                 A Figs. 3, 11; B Fig. 14
    bend_or_noise          a picture bent and with noise, D, G, R of three networks  front page
    mode_growth            the filters' Laplacian modes by layer, over training      A Fig. 4
    diffusion              two active pixels in the homogeneous network              A Fig. 8
"""

from relbook.explorers.bend_or_noise import bend_or_noise
from relbook.explorers.deformations import temperature_and_cut
from relbook.explorers.modes import mode_growth
from relbook.explorers.profiles import depth_profiles
from relbook.explorers.two_pixels import diffusion

__all__ = ["bend_or_noise", "depth_profiles", "diffusion", "mode_growth", "temperature_and_cut"]
