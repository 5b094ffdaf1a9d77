"""Images of prompts: files, data URIs, URLs, bytes, and what datasets hold, as encoded bytes and as RGB pictures."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image as images
from PIL import UnidentifiedImageError
from PIL.Image import Image

from adamms.addresses import mask
from adamms.errors import first_line
from adamms.support.files import expanded, read_regular
from adamms.support.urls import file_system_of

LARGEST = 1 << 27  # bytes of an encoded picture
REFUSED = ("EPS",)
"""Formats that Pillow hands to other programs, here Ghostscript."""


def read_image(image: Any, folder: Path) -> bytes:
    """The encoded bytes of an image, however it is given.

    Args:
        image: bytes; a path (relative to `folder`), a `data:` URI or a URL (https://, s3://, ...); a mapping with
            `bytes` or `path`, as datasets hold it; or a PIL image.

    Raises:
        ValueError: none of these, an address that cannot be read, or no image.
        OSError: a file that cannot be read.
        UserError: a path that can be none.
    """
    encoded = _encoded(image, folder)
    decode_image(encoded)
    return encoded


def decode_image(encoded: bytes) -> Image:
    """An RGB picture from encoded bytes (PNG, JPEG, ...). Raises ValueError if it is no image, or too large a one."""
    try:
        images.init()
        formats = [name for name in images.OPEN if name not in REFUSED]
        with images.open(io.BytesIO(encoded), formats=formats) as image:
            return image.convert("RGB")
    except UnidentifiedImageError:
        raise ValueError("no picture of a format that is read") from None
    except Exception as error:  # Pillow's decoders raise whatever they meet
        raise ValueError(f"no picture that can be read ({first_line(error)})") from None


def describe(image: Any) -> str:
    """An image's reference for a message, short."""
    return repr(mask(image)[:80]) if isinstance(image, str) else type(image).__name__


def _encoded(image: Any, folder: Path) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str):
        return _read_reference(image, folder)
    if isinstance(image, Mapping):
        inner = image.get("bytes") or image.get("path")
        if not isinstance(inner, Mapping):
            return _encoded(inner, folder)
    if hasattr(image, "save"):  # a PIL image, from a dataset that decodes
        out = io.BytesIO()
        image.save(out, "PNG")
        return out.getvalue()
    raise ValueError(f"neither path, URL, data URI nor bytes but {type(image).__name__}")


def _read_reference(reference: str, folder: Path) -> bytes:
    if reference.startswith("data:"):
        try:
            return base64.b64decode(reference.split(",", 1)[1], validate=True)
        except (IndexError, ValueError) as error:
            raise ValueError(f"not a base64 data URI ({error})") from None
    if "://" not in reference:
        return read_regular(folder / expanded(reference), LARGEST)
    from fsspec.implementations.local import LocalFileSystem

    try:
        filesystem, path = file_system_of(reference)
        if isinstance(filesystem, LocalFileSystem):
            return read_regular(Path(path), LARGEST)
        with filesystem.open(path, "rb") as file:
            found = bytes(file.read(LARGEST + 1))
    except Exception as error:  # every file system has errors of its own, and misses libraries of its own
        raise ValueError(first_line(error)) from None
    if len(found) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes")
    return found
