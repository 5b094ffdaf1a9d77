"""Images of prompts: files, data URIs, URLs, bytes, and what datasets hold, as encoded bytes and as RGB pictures."""

import base64
import binascii
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image as images
from PIL.Image import Image


def read_image(image: Any, folder: Path) -> bytes:
    """The encoded bytes of an image, however it is given.

    Args:
        image: bytes; a path (relative to `folder`), a `data:` URI or anything fsspec opens (https://, s3://, ...); a
            mapping with `bytes` or `path`, as datasets hold it; or a PIL image.

    Raises:
        ValueError: none of these, or no image.
        OSError: a file or address that cannot be read, or no image.
    """
    encoded = _encoded(image, folder)
    decode_image(encoded)
    return encoded


def decode_image(encoded: bytes) -> Image:
    """An RGB picture from encoded bytes (PNG, JPEG, ...). Raises OSError if it is no image."""
    with images.open(io.BytesIO(encoded)) as image:
        return image.convert("RGB")


def describe(image: Any) -> str:
    """An image's reference for a message, short."""
    return repr(image[:80]) if isinstance(image, str) else type(image).__name__


def _encoded(image: Any, folder: Path) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str):
        return _read_reference(image, folder)
    if isinstance(image, Mapping):
        return _encoded(image.get("bytes") or image.get("path"), folder)
    if hasattr(image, "save"):  # a PIL image, from a dataset that decodes
        out = io.BytesIO()
        image.save(out, "PNG")
        return out.getvalue()
    raise ValueError(f"neither path, URL, data URI nor bytes but {type(image).__name__}")


def _read_reference(reference: str, folder: Path) -> bytes:
    if reference.startswith("data:"):
        try:
            return base64.b64decode(reference.split(",", 1)[1], validate=True)
        except (IndexError, binascii.Error) as error:
            raise ValueError(f"not a base64 data URI ({error})") from None
    if "://" not in reference:
        return (folder / Path(reference).expanduser()).read_bytes()
    import fsspec

    with fsspec.open(reference, "rb") as file:
        return bytes(file.read())
