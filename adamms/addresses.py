"""Addresses of models, prompts, servers and databases: what of them may be shown or kept, and what they are called.

Nothing that is printed, logged or written holds a secret, because `mask` stands where it would get out: in `UserError`,
in the log's formatters, in what writes files (`support/files.py`) and in the commands that print an address.
"""

import re
from pathlib import PurePosixPath
from typing import Any

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://([^\s<>]+)", re.IGNORECASE)
_PARAMETER = re.compile(  # of an address, whose beginning a library may have left out; once masked it stays
    r"([?&#](?:amp;)?[\w.%-]{0,64}?(?:key|token|secret|pass|pwd|sig|cred|auth|sas|session)[\w.%-]{0,64}=)(?!\*\*\*)[^\s&#<>]+",
    re.IGNORECASE,
)
_CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")  # CONTAINER@ACCOUNT names a place there, not a user
_PROMPTS = (".jsonl", ".json", ".parquet")


def mask(text: str) -> str:
    """A text in which of every address the user, password and secret parameters are `***`.

    Passwords may hold @, / and ?; so whatever could be one is taken for one.
    """
    if "://" in text:
        text = _ADDRESS.sub(_without_user, text)
    return _PARAMETER.sub(r"\1***", text) if "=" in text else text


def masked(data: Any) -> Any:
    """Plain data in which every text is masked."""
    if isinstance(data, str):
        return mask(data)
    if isinstance(data, dict):
        return {masked(name): masked(value) for name, value in data.items()}
    return [masked(one) for one in data] if isinstance(data, list | tuple) else data


def short_name(place: str) -> str:
    """The last part of a folder, file, Hub id or address, without its revision or the ending of a file of prompts; of a
    model and its adapter, both."""
    return "+".join(map(_last_part, mask(place).split("+")))


def _last_part(place: str) -> str:
    _, is_address, rest = place.partition("://")
    if is_address:
        place = re.split("[?#]", rest.removeprefix("***@"))[0]
    path = PurePosixPath(place.split("@", 1)[0].rstrip("/"))
    return path.stem if path.suffix in _PROMPTS else path.name


def _without_user(found: re.Match[str]) -> str:
    scheme, rest = found.groups()
    user, has_user, place = rest.rpartition("@")
    secret = ":" in user.partition("/")[0] or ("/" not in user and scheme.lower() not in _CONTAINERS)
    return f"{scheme}://***@{place}" if has_user and secret else found[0]
