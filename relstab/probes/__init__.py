"""Measurements on a network that is given: sensitivities, filters, receptive fields.

`sensitivity` (D, G, R; papers A and B), `cosine` (paper C), `filters` (Laplacian modes of A Fig. 4, total
variation of C Figs. 5-6). A probe leaves the network as it found it.

>>> from relstab.probes import filters
>>> filters.laplacian_modes(3)[1].round().int().tolist()
[0, 1, 1, 2, 3, 3, 4, 4, 6]
"""
