"""What explorers are made of: three kinds of controls, frames, and stacks of frames that follow the controls."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

CSS = """
.explorer { max-width: 100%; --jp-widgets-font-size: 0.95rem; }
.explorer .frame { font-size: 0.95rem; line-height: 1.4; }
.explorer .frame { color: var(--pst-color-text-base, var(--jp-content-font-color1, inherit)); }
.explorer svg { width: 100%; max-width: 28rem; display: block; }
.explorer svg.key { display: inline; width: 2rem; height: 0.75rem; }
.explorer img { width: 100%; max-width: 20rem; display: block; }
.explorer .widget-checkbox { margin-right: 1rem; }
.explorer .noUi-handle:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
"""  # the first name of the colour is the book theme's, the second JupyterLab's


def slider(label: str, values: Iterable[str], start: int = 0) -> Any:
    """A slider over the texts `values`; `.index` says which."""
    import ipywidgets as widgets

    return widgets.SelectionSlider(options=list(values), index=start, description=label, tooltip=label, **_shape())


def choice(label: str, values: Iterable[str], start: int = 0) -> Any:
    """A drop-down list of the texts `values`; `.index` says which."""
    import ipywidgets as widgets

    return widgets.Dropdown(options=list(values), index=start, description=label, tooltip=label, **_shape())


def switch(label: str, name: str) -> Any:
    """A check box, set at first; while it is not, what has the class `name` in the explorer is hidden (`hiding`)."""
    import ipywidgets as widgets

    box = widgets.Checkbox(value=True, description=label, tooltip=label, indent=False, layout={"width": "auto"})
    box.add_class(f"switch-{name}")
    return box


def hiding(*names: str) -> str:
    """The rules that make switches of these names work."""
    return "".join(
        f".explorer:has(.switch-{name} input:not(:checked)) .frame .{name} {{ display: none; }}\n" for name in names
    )


def follow(controls: Sequence, draw: Callable[..., str]) -> Any:
    """Stacks in stacks of frames: draw(i, j, ...) is the frame (HTML) for the indices of the controls."""
    import ipywidgets as widgets
    from ipywidgets.widgets.widget_string import HTMLStyle

    shared = {"layout": widgets.Layout(max_width="100%", margin="0", overflow="visible"), "style": HTMLStyle()}

    def below(chosen):
        if len(chosen) == len(controls):
            return widgets.HTML(f'<div class="frame">{draw(*chosen)}</div>', **shared)
        control = controls[len(chosen)]
        inner = [below((*chosen, index)) for index in range(len(control.options))]
        return stack(control, inner, shared["layout"])

    return below(())


def stack(control: Any, children: Sequence, layout: Any = None) -> Any:
    """The child that the control's index chooses."""
    import ipywidgets as widgets

    layout = layout or {"overflow": "visible"}  # else the frames of controls inside are cut
    found = widgets.Stack(children, selected_index=control.index, layout=layout)
    widgets.jslink((control, "index"), (found, "selected_index"))
    return found


def explorer(*parts: Any, css: str = "") -> Any:
    """The parts one below the other, with the style that all explorers share and `css`."""
    import ipywidgets as widgets

    rules = widgets.HTML(f"<style>{CSS}{css}</style>", layout={"display": "none"})
    whole = column(*parts, rules)
    whole.add_class("explorer")
    return whole


def column(*parts: Any) -> Any:
    """The parts one below the other."""
    import ipywidgets as widgets

    return widgets.VBox(parts, layout={"overflow": "visible"})


def row(*parts: Any) -> Any:
    """The parts side by side, or below each other where there is no room."""
    import ipywidgets as widgets

    return widgets.HBox(parts, layout={"flex_flow": "row wrap", "overflow": "visible"})


def _shape() -> dict[str, dict[str, str]]:
    return {"style": {"description_width": "9em"}, "layout": {"width": "32em", "max_width": "100%"}}
