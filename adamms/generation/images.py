"""Images of prompts: files, data URIs and URLs, opened as RGB pictures."""

from __future__ import annotations

import base64
import binascii
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


def read_image_bytes(reference: str) -> bytes:
    """The encoded bytes of an image given as a path, a `data:` URI, or anything fsspec opens (https://, s3://, ...).

    Raises:
        ValueError: a data URI that is none.
        OSError: a file or address that cannot be read.
    """
    if reference.startswith("data:"):
        try:
            return base64.b64decode(reference.split(",", 1)[1], validate=True)
        except (IndexError, binascii.Error) as error:
            raise ValueError(f"not a base64 data URI ({error})") from None
    import fsspec

    with fsspec.open(reference, "rb") as file:
        return bytes(file.read())


def decode_image(encoded: bytes) -> Image:
    """An RGB picture from encoded bytes (PNG, JPEG, ...). Raises OSError if it is no image."""
    from PIL import Image as images

    with images.open(io.BytesIO(encoded)) as image:
        return image.convert("RGB")
