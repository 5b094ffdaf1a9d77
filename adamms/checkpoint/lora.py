"""PEFT LoRA: what an adapter folder's config and tensors do to which tensors of its model.

Only what the model's own tensors can hold is taken; whatever else an adapter may be is refused by its name.
"""

import re
import reprlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any, NoReturn

from adamms.checkpoint.checkpoint import Checkpoint
from adamms.checkpoint.names import Names
from adamms.checkpoint.tensor_info import MERGEABLE_DTYPES, TensorInfo
from adamms.errors import UserError
from adamms.support.numbers import finite

PREFIX = "base_model.model."
_FACTOR = re.compile(r"(.+)\.lora_(?:embedding_)?([AB])(?:\.weight)?")
_OTHER = {  # parts of tensor names -> what they belong to
    "lora_magnitude_vector": "DoRA",
    "trainable_tokens": "single trained tokens",
    "lora_A.bias": "a bias of its own (lora_bias)",
    "lora_B.bias": "a bias of its own (lora_bias)",
    "lora_": "parts that are not known here",
}
# What a config may set without changing that scaling * B @ A is added; anything else that is set is refused.
_HARMLESS = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "corda_config", "ensure_weight_tying",
    "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern",
    "layers_to_transform", "loftq_config", "lora_alpha", "lora_dropout", "lora_dtype", "lorap_lr_ratio",
    "megatron_core", "modules_to_save", "peft_type", "peft_version", "qalora_group_size", "r", "rank_pattern",
    "revision", "runtime_config", "target_modules", "task_type", "use_rslora",
}  # fmt: skip
_PLAIN_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")  # others change the base's weights, too
_TITLES = {
    "use_dora": "DoRA",
    "target_parameters": "LoRA on stacked experts",
    "trainable_token_indices": "single trained tokens",
    "layer_replication": "repeated layers",
    "lora_bias": "a bias of its own",
}


@dataclass(frozen=True, slots=True)
class Update:
    """What an adapter does to one tensor: scaling * B @ A is added to it, or to what replaces it.

    Attributes:
        replacement: the adapter's tensor that stands in for the model's (modules_to_save, trained biases).
        a, b: the adapter's tensors of the two factors; empty if nothing is added.
        turned: B @ A is added transposed, as in embeddings and in layers with `fan_in_fan_out`.
        rounded: B @ A is rounded to the model's dtype before it is added, which PEFT does in embeddings.
    """

    replacement: str = ""
    a: str = ""
    b: str = ""
    scaling: float = 1.0
    turned: bool = False
    rounded: bool = False


def updates_of(adapter: Checkpoint, model: Checkpoint) -> dict[str, Update]:
    """What the adapter does to the tensors of `model`, by their names; others stay.

    Raises:
        UserError: the adapter does more than add to (or replace) tensors of the model, or does not fit it.
    """
    lora, names = _Lora(adapter), Names(model.tensors)
    found: dict[str, Update] = {}
    lost = []
    for name in lora.parts:
        there = names.find(name)
        if there is None:
            lost.append(name)
        elif there in found:
            lora.refuse(f"changes {there!r} of {model.location} twice; save it again")
        else:
            found[there] = lora.update(name, model.tensors[there])
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        lora.refuse(
            f"changes {', '.join(map(repr, lost[:3]))}{more}, which {model.location} does not have; "
            "add it to the model that it was trained on"
        )
    _check_tied(lora, found, model)
    return found


class _Lora:
    """An adapter's config and tensors.

    Attributes:
        parts: by the name that PEFT has for a tensor of the model: 'A', 'B' and 'whole' -> tensor of the adapter.
    """

    def __init__(self, adapter: Checkpoint) -> None:
        self._adapter, self._config = adapter, adapter.config
        self._embeddings: set[str] = set()
        self._check_config()
        self.parts = self._parts()

    def refuse(self, what: str) -> NoReturn:
        raise UserError(f"{self._adapter.location}: this adapter {what}")

    def update(self, name: str, target: TensorInfo) -> Update:
        """What it does to the tensor that PEFT calls `name`, which is `target` in the model."""
        parts = self.parts[name]
        update = Update(replacement=parts.get("whole", ""))
        if update.replacement:
            shape = self._info(update.replacement).shape
            if shape != target.shape:
                sizes = f"{list(shape)} instead of {list(target.shape)}"
                self._no_sum(f"{target.name!r} becomes {sizes} (a resized vocabulary, or another model)")
        if ("A" in parts) != ("B" in parts):
            self.refuse(f"has one of the two factors of {name!r} only; save it again")
        if "A" in parts:
            a, b, rank = parts["A"], parts["B"], self._rank(name, parts["A"])
            embedding = name in self._embeddings
            turned = embedding or self._config.get("fan_in_fan_out") is True
            self._check_shapes(a, b, rank, target, turned)
            update = replace(update, a=a, b=b, scaling=self._scaling(name, rank), turned=turned, rounded=embedding)
        return update

    def _check_config(self) -> None:
        """Refuses every kind of adapter but LoRA, and every variant of it that is no plain sum."""
        kind = self._config.get("peft_type")
        if kind != "LORA":
            self._no_sum(f"peft_type is {kind!r}, not 'LORA'")
        for key, value in self._config.items():
            if value and key not in _HARMLESS:
                self._no_sum(f"{_TITLES.get(key, 'a variant that is not known here')} ({key})")
        start = self._config.get("init_lora_weights")
        if start not in _PLAIN_STARTS:
            self._no_sum(f"trained on a base that was changed first (init_lora_weights={start!r})")

    def _parts(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for name in self._adapter.tensors:
            if not name.startswith(PREFIX):
                self.refuse(f"holds {name!r}, which does not begin with {PREFIX!r}; save it with PEFT")
            own = name.removeprefix(PREFIX).replace(".modules_to_save.", ".").replace(".base_layer.", ".")
            factor = _FACTOR.fullmatch(own)
            other = next((title for mark, title in _OTHER.items() if mark in own), None)
            if other and not factor:
                self._no_sum(f"{other}: tensor {name!r}")
            tensor, part = (f"{factor[1]}.weight", factor[2]) if factor else (own, "whole")
            if "lora_embedding_" in own:
                self._embeddings.add(tensor)
            if found.setdefault(tensor, {}).setdefault(part, name) != name:
                self.refuse(f"changes {tensor!r} twice; save it again")
        if not found:
            self.refuse("holds no tensors; save it again")
        return found

    def _info(self, name: str) -> TensorInfo:
        info = self._adapter.tensors[name]
        if info.dtype not in MERGEABLE_DTYPES:
            self._no_sum(f"{info.dtype} weights: tensor {name!r}")
        return info

    def _rank(self, name: str, a: str) -> int:
        rank, shape = self._number("rank_pattern", name, "r"), self._info(a).shape
        if not shape or shape[0] != rank or rank < 1:
            self.refuse(f"has rank {rank:g} by its config, but {a!r} is {list(shape)}; save it again")
        return shape[0]

    def _scaling(self, name: str, rank: int) -> float:
        alpha = self._number("alpha_pattern", name, "lora_alpha")
        return alpha / (sqrt(rank) if self._config.get("use_rslora") is True else rank)

    def _number(self, patterns: str, name: str, default: str) -> float:
        """The config's number for a module: as in PEFT, of the first pattern that its name ends with, else for all."""
        given = self._config.get(patterns) or {}
        if not isinstance(given, dict):
            self.refuse(f"has {patterns}={given!r} in its config, expected names with numbers")
        module = name.rpartition(".")[0]
        try:
            key = next((key for key in given if re.match(rf"(.*\.)?({key})$", module)), None)
        except re.error as error:
            self.refuse(f"has a pattern in {patterns} of its config that cannot be read ({error})")
        value: Any = self._config.get(default) if key is None else given[key]
        number = finite(value)
        if number is None:
            self.refuse(f"has {default if key is None else key}={reprlib.repr(value)} in its config, expected a number")
        return number

    def _check_shapes(self, a: str, b: str, rank: int, target: TensorInfo, turned: bool) -> None:
        """A is [rank, inputs...], B [outputs, rank] (of a convolution [outputs, rank, 1, 1])."""
        first, second = self._info(a).shape, self._info(b).shape
        product = (prod(second[:1]), prod(first[1:]))
        rows = (prod(target.shape[:1]), prod(target.shape[1:]))
        if (product[::-1] if turned else product) != rows or prod(second[1:]) != rank or len(target.shape) < 2:
            self.refuse(
                f"does not fit {target.name!r} {list(target.shape)}: A is {list(first)}, B {list(second)}"
                f"{', transposed' if turned else ''}; add it to the model that it was trained on"
            )

    def _no_sum(self, what: str) -> NoReturn:
        self.refuse(
            f"cannot be added while reading: {what}; add it with PEFT's merge_and_unload() and give the model that "
            "this saves"
        )


def _check_tied(lora: _Lora, updates: Mapping[str, Update], model: Checkpoint) -> None:
    """Refuses trained embeddings where the head is the same tensor: an adapter changes one of the two."""
    sections = (model.config, *(section for section in model.config.values() if isinstance(section, dict)))
    vocabularies = {section.get("vocab_size") for section in sections if type(section.get("vocab_size")) is int}
    shapes: Counter[tuple[int, ...]] = Counter(info.shape for info in model.tensors.values() if len(info.shape) == 2)
    for name in updates:
        shape = model.tensors[name].shape
        if shape[:1] and shape[0] in vocabularies and shapes[shape] == 1:
            lora.refuse(
                f"changes {name!r}, in {model.location} the embeddings and the head in one, of which it was trained to "
                "change one; train it without them, or on a model whose head is apart"
            )
