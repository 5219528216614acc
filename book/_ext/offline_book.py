"""Sphinx extension: keep sphinx-thebe, which Jupyter Book always loads, from adding its script to the pages.

The script defines a constant twice, a JavaScript error on each page, and names a kernel service on the
network.
"""

_UNWANTED = {"init_thebe_core", "update_thebe_context"}


def setup(app):
    def drop(app):
        for listeners in app.events.listeners.values():
            listeners[:] = [
                listener for listener in listeners if getattr(listener.handler, "__name__", "") not in _UNWANTED
            ]

    app.connect("builder-inited", drop, priority=0)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
