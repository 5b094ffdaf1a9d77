"""Quantised checkpoints, which hold no numbers that could be interpolated: refused by the name of their scheme."""

import re
from typing import Any

from adamms.checkpoint.card import card_metadata
from adamms.checkpoint.checkpoint import Checkpoint
from adamms.checkpoint.tensor_info import MERGEABLE_DTYPES
from adamms.errors import UserError

_TITLES = {"awq": "AWQ", "gptq": "GPTQ"}  # others are called as in their configs
# How each scheme's tensors are known where config.json is silent, by name and dtype; looked for in this order.
_SIGNS = {
    "bitsandbytes": re.compile(r".+\.(SCB|weight\.(absmax|quant_map|quant_state\..+|nested_\w+)) \w+"),
    "compressed-tensors": re.compile(r".+\.(weight_packed|weight_shape) \w+"),
    "GPTQ": re.compile(r".+\.g_idx \w+"),
    "AWQ": re.compile(r".+\.qweight \w+"),
    "fp8": re.compile(r".+ F8_\w+"),
    "integers": re.compile(r".+\.weight [IU]\d+"),
}


def refuse_quantised(checkpoint: Checkpoint) -> None:
    """Raises UserError for a quantised model; names the scheme and, by the model's card, what it was made from."""
    configured, found = _configured(checkpoint.config), _found(checkpoint)
    if configured and not found and all(t.dtype in MERGEABLE_DTYPES for t in checkpoint.tensors.values()):
        raise UserError(
            f"{checkpoint.location}: config.json has a quantization_config ({configured}), but no tensor is "
            "quantised; if these are the full-precision weights, take that key out of it"
        )
    if configured:
        found = configured, "quantization_config in config.json"
    if found:
        scheme, evidence = found
        origin = card_metadata(checkpoint.folder).get("base_model") or []
        made_from = ", ".join(map(str, origin if isinstance(origin, list) else [origin]))
        raise UserError(
            f"{checkpoint.location}: quantised by {scheme} ({evidence}); only full-precision weights can be merged: "
            f"give the checkpoint that it was made from{made_from and f', by its card {made_from}'}"
        )


def _configured(config: dict[str, Any]) -> str:
    """The scheme that config.json names, for the whole model or one of its parts; '' if it names none."""
    for section in (config, *(value for value in config.values() if isinstance(value, dict))):
        given = section.get("quantization_config") or section.get("compression_config")
        if isinstance(given, dict):
            method = str(given.get("quant_method") or "an unnamed scheme")
            form = given.get("format")
            return _TITLES.get(method, method) + (f", {form}" if isinstance(form, str) else "")
    return ""


def _found(checkpoint: Checkpoint) -> tuple[str, str] | None:
    """The scheme that the tensors show, and one that shows it."""
    tensors = [f"{info.name} {info.dtype}" for info in checkpoint.tensors.values()]
    for scheme, sign in _SIGNS.items():
        shown = next(filter(sign.fullmatch, tensors), None)
        if shown:
            return scheme, f"tensor {shown}"
    return None
