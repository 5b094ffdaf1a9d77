"""Addresses of servers and databases, which may hold a password."""

import re


def without_password(text: str) -> str:
    """A text in which the password of every address is replaced by `***`."""
    return re.sub(r"(://[^/@\s:]*):[^/@\s]+@", r"\1:***@", text)
