"""Opening URLs through fsspec, of which files that were downloaded may name some: adapters, prompts."""

from typing import Any

PROTOCOLS = ("http", "https", "s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory", "file")
"""Each leads to the one place that it names. Others of fsspec's read a file that leads anywhere else, such as
`reference://`, whose files old releases even run."""


def file_system_of(url: str) -> tuple[Any, str]:
    """The file system that a URL names, and the path in it.

    Raises:
        ValueError: the protocol is none of `PROTOCOLS`, or there are several in a chain.
        Exception: whatever the file system raises of an address that it cannot read.
    """
    import fsspec

    protocol = url.partition("://")[0]
    if "::" in url:
        raise ValueError("a chain of addresses (::), which is not read; give one address")
    if protocol not in PROTOCOLS:
        raise ValueError(f"{protocol}:// is not read; {', '.join(PROTOCOLS)} are")
    filesystem, path = fsspec.core.url_to_fs(url)
    return filesystem, path
