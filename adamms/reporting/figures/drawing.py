"""A drawn figure, in every form it is wanted: PNG, SVG that follows the page's colours, and HTML that answers pointers.

Figures are drawn once, with matplotlib. The interactive form is the same SVG: its colours become CSS variables (light,
dark, print), and everything that was given a tip says it when pointed at, tapped or focused. One file, no library.
"""

from __future__ import annotations

import html
import importlib
import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamms.reporting.palette import DARK, GRID, INK, css_variable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONTS = ["DejaVu Sans", "Verdana", "Segoe UI", "sans-serif"]
STYLE: dict[str, Any] = {
    "font.family": FONTS[0],
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
}
_ONE_AT_A_TIME = threading.RLock()  # matplotlib's settings belong to the whole process


@contextmanager
def style() -> Iterator[None]:
    """Within the block, matplotlib draws as our figures look; the searches of a sweep wait for each other here."""
    import matplotlib as mpl

    with suppress(ImportError):  # matplotlib looks into it, half imported by another thread or not
        importlib.import_module("IPython")
    with _ONE_AT_A_TIME, mpl.rc_context(STYLE), warnings.catch_warnings():
        # A model may answer in letters that no font here has: the figure has boxes, the report the letters.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield


@dataclass
class Drawing:
    """A figure and what its parts say.

    Attributes:
        name: of its files.
        caption: what it shows, in a sentence; read aloud where it cannot be seen.
        tips: gid of a drawn part -> its text.
    """

    name: str
    caption: str
    figure: Figure
    tips: dict[str, str] = field(default_factory=dict)

    def tip(self, text: str) -> str:
        """A gid for a part that says `text`."""
        gid = f"{self.name}-tip{len(self.tips)}"
        self.tips[gid] = text
        return gid

    def png(self) -> bytes:
        """On white, for 4K screens and print."""
        buffer = io.BytesIO()
        with style():
            self.figure.savefig(buffer, format="png", dpi=200, facecolor="white", metadata={"Software": None})
        return buffer.getvalue()

    def svg(self) -> str:
        """An `<svg>` element whose colours follow the page it stands in."""
        import matplotlib as mpl

        buffer = io.StringIO()
        with style(), mpl.rc_context({"svg.hashsalt": self.name}):
            self.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        text = buffer.getvalue()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r"<svg \1\2", text, count=1)
        text = text.replace("'DejaVu Sans'", ", ".join(f"'{font}'" for font in FONTS[:-1]) + ", sans-serif")
        for colour in DARK:
            text = re.sub(f"(fill|stroke): {colour}", rf"\1: var({css_variable(colour)}, {colour})", text)
        text = text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(self.caption)}" ', 1)
        for gid, tip in self.tips.items():
            said = html.escape(tip)
            text = text.replace(f'<g id="{gid}">', f'<g id="{gid}" class="tip" tabindex="0" data-tip="{said}">')
        return text

    def write(self, folder: Path) -> list[Path]:
        """Writes NAME.png and NAME.html, a page of its own; gives their paths."""
        from adamms.reporting.templates import render

        folder.mkdir(parents=True, exist_ok=True)
        png, page = folder / f"{self.name}.png", folder / f"{self.name}.html"
        png.write_bytes(self.png())
        page.write_text(render("figure.html.jinja", caption=self.caption, svg=self.svg()), encoding="utf-8")
        return [png, page]


def new_figure(width: float, height: float, **grid: Any) -> tuple[Figure, Any]:
    """A figure in inches and its axes; call it within `style()`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**grid)
