"""A language model recognised by tensor names, shapes and config alone, whatever its family calls them.

It is the one stack of as many layers as the config says, beside an embedding of vocabulary x hidden size; tensors are
called by what follows their layer's number, so that two models that name alike correspond.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from adamms.errors import UserError
from adamms.mapping.architecture import ANY, EMBED_TOKENS, LM_HEAD, Architecture, Layout, NameRule
from adamms.mapping.numbers import text_config

Shapes = Mapping[str, tuple[int, ...]]
NAME = "by structure"
SIZES = ("num_hidden_layers", "hidden_size", "vocab_size")
PADDING = 1024  # rows that an embedding may have beyond the vocabulary
# Words in the names of what lies beside a language model.
OTHERS = re.compile(
    r"vis|vit\b|vit_|vpm|imag|img|pixel|tower|clip|sam_|audio|speech|sound|video|projector|connector|resampler|"
    r"perceiver|qformer|patch|abstractor|adapter|align|merger|mm_|multi_?modal|talker|mtp\b"
)


class Guess(NamedTuple):
    """An architecture made for one model, and the model's config with what its class adds to it."""

    architecture: Architecture
    config: Mapping[str, Any]


def recognise_structure(config: Mapping[str, Any], shapes: Shapes) -> Guess:
    """The architecture of a model that no YAML file describes.

    Raises:
        UserError: no stack fits, or several do; a phrase that says which, for the end of a sentence.
    """
    config = completed(config)
    text = text_config(config)
    if config.get("is_encoder_decoder") or text.get("is_encoder_decoder"):
        raise UserError("it is an encoder and a decoder, of which neither is a language model by itself")
    sizes = {key: text.get(key) for key in SIZES}
    if not all(type(size) is int for size in sizes.values()):
        raise UserError(f"its config does not tell the sizes of one language model ({sizes})")
    layers, hidden, rows = (int(size or 0) for size in sizes.values())
    embeddings = [n for n, s in shapes.items() if len(s) == 2 and s[1] == hidden and 0 <= s[0] - rows < PADDING]
    stack, model = _only_stack(_stacks(shapes, layers), embeddings, layers, (rows, hidden))
    embedding = _one(
        [n for n in embeddings if n.startswith(model)], r"(?<!un)embed(?!_out)|wte|tok|word", "the embedding"
    )
    others = [name for name in embeddings if name != embedding]
    head = _one(others, r"head|output|unembed|embed_out", "the output head") if others else None
    rules = {
        **{name: NameRule((own,)) for name, own in _loose(shapes, model, stack, head, hidden).items()},
        **({head: NameRule((LM_HEAD,))} if head else {}),
        embedding: NameRule((EMBED_TOKENS,)),
        f"{stack}.{{layer}}.{ANY}": NameRule((f"layers.{{layer}}.{ANY}",)),
    }
    title = f"{layers} layers under {stack!r} beside {embedding!r}"
    layouts = (Layout("its own", model, ""),)
    return Guess(Architecture(NAME, title, layouts, rules, rows="free", dropped=_buffers(shapes, stack)), config)


def completed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config with what transformers adds to it, where it knows the model: defaults, and numbers under usual names."""
    from transformers import CONFIG_MAPPING

    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        return config
    try:
        whole = CONFIG_MAPPING[model_type].from_dict(_with_infinities(config))
        text = whole.get_text_config(decoder=True)
    except Exception as error:  # whatever a config's class raises of values that it does not expect
        raise UserError(f"transformers refuses its config ({type(error).__name__}: {error})") from None
    usual = {key: getattr(text, key, None) for key in (*SIZES, *text.attribute_map)}
    found = {**text.to_dict(), **usual, "tie_word_embeddings": getattr(whole, "tie_word_embeddings", None)}
    found = {key: value for key, value in found.items() if value is not None}
    return {**config, "text_config": found, "is_encoder_decoder": getattr(whole, "is_encoder_decoder", False)}


def _with_infinities(value: Any) -> Any:
    """A config's value as transformers reads it: in its files {"__float__": "Infinity"} is a number."""
    if isinstance(value, Mapping):
        return (
            float(value["__float__"])
            if set(value) == {"__float__"}
            else {key: _with_infinities(one) for key, one in value.items()}
        )
    return [_with_infinities(one) for one in value] if isinstance(value, list) else value


def _buffers(shapes: Shapes, stack: str) -> tuple[str, ...]:
    """Frequencies of the rope, which old checkpoints hold in every layer."""
    names = (name for name in shapes if name.endswith("rotary_emb.inv_freq"))
    return tuple({re.sub(rf"^{re.escape(stack)}\.\d+\.", f"{stack}.{{layer}}.", name) for name in names})


def _stacks(shapes: Shapes, layers: int) -> list[str]:
    """What stands before the number in the names of at least so many numbered modules that lie in no other's."""
    numbers: dict[str, set[int]] = {}
    for name in shapes:
        parts = name.split(".")
        first = next((i for i, part in enumerate(parts) if part.isascii() and part.isdecimal()), None)
        if first:
            numbers.setdefault(".".join(parts[:first]), set()).add(int(parts[first]))
    return [
        stack
        for stack, found in numbers.items()
        if sum(number < layers for number in found) == layers and len(found) <= layers + 4
    ]


def _only_stack(
    stacks: Iterable[str], embeddings: Iterable[str], layers: int, shape: tuple[int, int]
) -> tuple[str, str]:
    """The stack with an embedding nearest beside it, and the prefix that both have."""
    found = []
    embeddings = list(embeddings)
    for stack in stacks:
        for levels, place in enumerate(_places(stack)):
            below = [name.removeprefix(place).count(".") for name in embeddings if name.startswith(place)]
            if below:
                found.append((levels + min(below), stack, place))
                break
    nearest = [(stack, place) for distance, stack, place in found if distance == min(found)[0]]
    size = f"{layers} layers beside an embedding of {shape[0]} x {shape[1]}"
    if not nearest:
        raise UserError(f"no stack of {size} is among its tensors")
    if len(nearest) > 1:
        raise UserError(f"several stacks of {size} are: {', '.join(stack for stack, _ in nearest)}")
    return nearest[0]


def _places(stack: str) -> Iterator[str]:
    """Where an embedding may lie beside a stack, from near to far."""
    parts = stack.split(".")[:-1]
    for end in range(len(parts), -1, -1):
        yield "".join(f"{part}." for part in parts[:end])


def _one(names: list[str], likely: str, what: str) -> str:
    """Which matrix of an embedding's shape is the embedding, or the head: where there are several, by its name."""
    found = [name for name in names if re.search(likely, name)] or names
    if len(found) > 1:
        raise UserError(f"several of its tensors may be {what}: {', '.join(found)}")
    return found[0]


def _loose(shapes: Shapes, model: str, stack: str, head: str | None, hidden: int) -> dict[str, str]:
    """The language model's tensors outside its layers, by name: what they are called within it.

    Those are all under the widest prefix under which no other model lies; where one lies beside the embedding itself,
    tensors of the hidden size in modules of their own, and what belongs to the output head.
    """
    names = [name for name in shapes if not name.startswith(f"{stack}.")]
    outwards = [place for place in _places(stack) if model.startswith(place)]
    alone = list(itertools.takewhile(lambda place: not _others(names, place), outwards))
    within = alone[-1] if alone else None
    beside = _others(names, model)
    head_module = head.rpartition(".")[0] + "." if head else None
    found = {}
    for name in names:
        own = name.removeprefix(model)
        if within is not None and name.startswith(within):
            found[name] = own if name.startswith(model) else name.removeprefix(within)
        elif within is None and name.startswith(model) and "." in own and _module(own) not in beside:
            if hidden in shapes[name]:
                found[name] = own
        elif head_module and name.startswith(head_module):
            found[name] = f"lm_head.{name.removeprefix(head_module)}"
    return found


def _others(names: Iterable[str], place: str) -> set[str]:
    """The modules directly under a prefix that are models of their own: numbered modules within, or a telling name."""
    under = [name.removeprefix(place) for name in names if name.startswith(place)]
    return {_module(own) for own in under if OTHERS.search(_module(own)) or re.search(r"\.\d+\.\w+\.", own)}


def _module(name: str) -> str:
    return name.partition(".")[0]
