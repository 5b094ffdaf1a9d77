"""Whatever the architecture and however its matrices are sliced: every base tensor is accounted for exactly once."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adamms.checkpoint import Checkpoint, TensorInfo
from adamms.mapping import MergePlan, plan_merge
from adamms.mapping.architecture import Architecture, Layout, NameRule, known_architectures
from adamms.mapping.config import MappingConfig
from tests.support import checkpoints as c
from tests.support.plans import plan_from_dict

SLOTS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "o_proj", "down_proj")


class InMemory(Checkpoint):
    """A checkpoint without files."""

    def __init__(self, tensors: c.Named, config: dict[str, object], name: str) -> None:
        self.folder, self.location, self.config, self.named = Path("/nowhere"), name, dict(config), tensors
        self.__dict__["tensors"] = {n: TensorInfo(n, "F32", tuple(t.shape), Path(n), None) for n, t in tensors.items()}
        self.__dict__["digest"], self.full = name, False

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        return self.named[name].reshape(-1)[start:stop]


@st.composite
def sizes(draw: st.DrawFn) -> c.Sizes:
    kv_heads = draw(st.integers(1, 3))
    return c.Sizes(
        layers=draw(st.integers(1, 3)), hidden=draw(st.integers(1, 9)), heads=kv_heads * draw(st.integers(1, 3)),
        kv_heads=kv_heads, head_dim=draw(st.integers(1, 4)), intermediate=draw(st.integers(1, 9)),
        vocabulary=draw(st.integers(1, 9)),
    )  # fmt: skip


@st.composite
def slicing(draw: st.DrawFn) -> tuple[list[tuple[str, ...]], frozenset[str], bool]:
    """How a made-up family stacks matrices, which groups it duplicates, and whether q, k, v are grouped by head."""
    width = [slot for slot in SLOTS if slot not in ("o_proj", "down_proj")]
    order = draw(st.permutations(width))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1))))
    groups = [tuple(order[a:b]) for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    grouped = draw(st.booleans())
    if grouped:
        groups = [("q_proj", "k_proj", "v_proj"), *((slot,) for slot in ("gate_proj", "up_proj"))]
    groups += [("o_proj",), ("down_proj",)]
    experts = draw(st.sets(st.integers(0, len(groups) - 1)))
    return groups, frozenset(slot for i in experts for slot in groups[i]), grouped


def canonical(slot: str, layer: int | str) -> str:
    return f"layers.{layer}.{'self_attn' if slot in ('q_proj', 'k_proj', 'v_proj', 'o_proj') else 'mlp'}.{slot}.weight"


def family(shape: tuple[list[tuple[str, ...]], frozenset[str], bool]) -> Architecture:
    groups, experts, grouped = shape
    rules = {
        "embed": NameRule(("embed_tokens.weight",)),
        "head": NameRule(("lm_head.weight",)),
        "norm": NameRule(("norm.weight",)),
    }
    for i, norm in enumerate(("input_layernorm", "post_attention_layernorm")):
        rules[f"L.{{layer}}.n{i}"] = NameRule((f"layers.{{layer}}.{norm}.weight",))
    for group in groups:
        parts = tuple(canonical(slot, "{layer}") for slot in group)
        for expert in ("text", "vision") if group[0] in experts else (None,):
            name = f"L.{{layer}}.{'-'.join(group)}.{expert}"
            form = "concatenate" if len(group) > 1 else "is"
            rules[name] = NameRule(parts, expert, "grouped" if grouped and len(group) == 3 else form)
    return Architecture("made up", "Made up", (Layout("x", "", ""),), rules)


def write(weights: c.Weights, s: c.Sizes, shape: tuple[list[tuple[str, ...]], frozenset[str], bool]) -> c.Named:
    groups, experts, grouped = shape
    named = {"embed": weights["embed_tokens.weight", None], "head": weights["lm_head.weight", None]}
    named |= {"norm": weights["norm.weight", None], "eye": torch.ones(2)}
    for i in range(s.layers):
        for j, norm in enumerate(("input_layernorm", "post_attention_layernorm")):
            named[f"L.{i}.n{j}"] = weights[f"layers.{i}.{norm}.weight", None]
        for group in groups:
            for expert in ("text", "vision") if group[0] in experts else (None,):
                parts = [weights[canonical(slot, i), expert] for slot in group]
                if grouped and len(group) == 3:
                    parts = [p.reshape(s.kv_heads, p.shape[0] // s.kv_heads, s.hidden) for p in parts]
                    stacked = torch.cat(parts, dim=1).reshape(-1, s.hidden)
                else:
                    stacked = torch.cat(parts)
                named[f"L.{i}.{'-'.join(group)}.{expert}"] = stacked
    return named


def check_accounting(plan: MergePlan, base: Checkpoint, donor: Checkpoint) -> None:
    assert [tensor.name for tensor in plan.tensors] == list(base.tensors)
    for tensor in plan.tensors:
        assert (tensor.dtype, tensor.shape) == (base.tensors[tensor.name].dtype, base.tensors[tensor.name].shape)
        covered = 0
        for piece in tensor.pieces:
            assert covered <= piece.start < piece.stop
            covered = piece.stop
            (origin,) = piece.sources
            assert isinstance(origin.tensor, str)
            source = donor.tensors[origin.tensor]
            assert 0 <= origin.start <= source.shape[0] - (piece.stop - piece.start)
            assert source.shape[1:] == tensor.shape[1:]
        assert covered <= tensor.shape[0]
        complete = sum(piece.stop - piece.start for piece in tensor.pieces) == tensor.shape[0]
        assert complete or tensor.reason
    used = {source.tensor for tensor in plan.tensors for piece in tensor.pieces for source in piece.sources}
    assert used.isdisjoint(plan.unused[0])
    assert used | set(plan.unused[0]) == set(donor.tensors)
    assert plan_from_dict(plan.to_dict()) == plan
    assert plan_from_dict(plan.to_dict()).fingerprint == plan.fingerprint


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sizes(), slicing(), slicing(), st.sampled_from(["merge", "keep"]))
def test_any_slicing_into_any_slicing(s: c.Sizes, ours: object, theirs: object, duplicates: str) -> None:
    families = [family(ours), family(theirs)]  # type: ignore[arg-type]
    ancestor = c.language_model(sizes=s)
    weights = [
        c.duplicated(c.tuned(ancestor, i), tuple(f"{slot}." for slot in shape[1]) or ("none",), i + 5)  # type: ignore[index]
        for i, shape in enumerate((ours, theirs))
    ]
    base, donor = (
        InMemory(write(w, s, shape), s.config, name)  # type: ignore[arg-type]
        for w, shape, name in zip(weights, (ours, theirs), "ab", strict=True)
    )
    known = known_architectures()
    known |= {"first": families[0], "second": families[1]}
    config = MappingConfig(
        base_architecture="first",
        donor_architecture="second",
        duplicates=duplicates,
        embeddings="same",  # type: ignore[arg-type]
    )
    try:
        plan = plan_merge(base, donor, config)
    finally:
        del known["first"], known["second"]
    check_accounting(plan, base, donor)
    expected = {}
    for (name, expert), weight in weights[0].items():
        order: list[str | None] = {None: [None, "text"], "text": ["text", None], "vision": ["vision", None, "text"]}[
            expert
        ]  # type: ignore[index]
        order = ["vision"] if (expert, duplicates) == ("vision", "keep") else order
        other = next((weights[1][name, e] for e in order if (name, e) in weights[1]), weight)
        expected[name, expert] = (weight + other) / 2
    c.assert_same(c.execute(plan, base, donor, 0.5), write(expected, s, ours))  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-1, 12), max_size=8),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-1, 12), max_size=8),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-1, 12), max_size=8),
    st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(0, 10)),
    st.booleans(),
)
def test_rows_correspond_by_token_within_every_matrix(
    ours: dict[str, int], theirs: dict[str, int], origin: dict[str, int], rows: tuple[int, int, int], ancestor: bool
) -> None:
    from adamms.mapping.vocabulary import VocabularyMatch, _one_each

    pairs = _one_each((ours[t], theirs[t]) for t in ours if t in theirs)
    origins = _one_each((ours[t], origin[t]) for t in ours if t in origin)
    match = VocabularyMatch(True, "", pairs, origins if ancestor else None)
    found = {}
    for run in match.runs(rows[0], rows[1], rows[2] if ancestor else None):
        for i in range(run.length):
            assert run.start + i not in found
            found[run.start + i] = (run.donor_start + i, run.ancestor_start + i if ancestor else None)
    expected = {
        a: (b, origins[a] if ancestor else None)
        for a, b in pairs.items()
        if 0 <= a < rows[0] and 0 <= b < rows[1] and (not ancestor or 0 <= origins.get(a, math.inf) < rows[2])
    }
    assert found == expected
