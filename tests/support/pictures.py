"""Pictures that need no more than torch and Pillow to be made."""

from __future__ import annotations

import io


def picture(i: int, j: int = 0, side: int = 40) -> bytes:
    """An encoded picture that no other (i, j) has."""
    import torch
    from PIL import Image

    colours = torch.Generator().manual_seed(1000 * i + j)
    pixels = torch.randint(0, 256, (4, 4, 3), generator=colours, dtype=torch.uint8).numpy()
    out = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


def wide(encoded: bytes) -> bytes:
    """The same, stretched to 50 x 36 and smoothed."""
    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(encoded)).resize((50, 36)).save(out, "PNG")
    return out.getvalue()
