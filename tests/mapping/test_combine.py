"""One plan of several donors says row by row what the plans of each say, and is theirs again without the others."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamms.errors import UserError
from adamms.mapping import MergePlan, ModelIdentity, Piece, Source, TensorPlan, plan_pair
from adamms.mapping.combine import combine, without_others
from adamms.mapping.config import MappingConfig, PairSettings
from adamms.mapping.plan import joined
from adamms.mapping.rows import Rows, Turned
from adamms.mapping.table import count, print_plan
from tests.merging.conftest import save_family
from tests.support.plans import plan_from_dict

ROWS = 12


def identity(digest: str) -> ModelIdentity:
    return ModelIdentity(f"models/{digest}", "llava", "hf", digest)


def plan_of(digest: str, pieces: tuple[Piece, ...], reason: str = "") -> MergePlan:
    tensor = TensorPlan("w", "F32", (ROWS, 2), "mlp.up_proj.weight", pieces, reason)
    return MergePlan(identity("base"), (identity(digest),), None, (tensor,), ({},), (f"embeddings: of {digest}",))


@st.composite
def any_pieces(draw: st.DrawFn) -> tuple[Piece, ...]:
    """Pieces that follow one another, with gaps, from two tensors; none continues the one before."""
    cuts = sorted(draw(st.sets(st.integers(0, ROWS), min_size=2, max_size=6)))
    return joined(
        Piece(start, stop, (Source(draw(st.sampled_from(["x", "y"])), draw(st.integers(0, 50))),))
        for start, stop in pairwise(cuts)
        if draw(st.booleans())
    )


def by_row(plan: MergePlan) -> list[dict[int, tuple[object, int]]]:
    """For every row: donor -> tensor and row."""
    rows: list[dict[int, tuple[object, int]]] = [{} for _ in range(ROWS)]
    for piece in plan.tensors[0].pieces:
        for row in range(piece.start, piece.stop):
            rows[row] = {s.donor: (s.tensor, s.start + row - piece.start) for s in piece.sources}
    return rows


@given(st.lists(any_pieces(), min_size=2, max_size=3), st.permutations("abc"))
def test_every_row_has_the_sources_of_every_plan(each: list[tuple[Piece, ...]], digests: list[str]) -> None:
    plans = [plan_of(digest, pieces) for digest, pieces in zip(digests, each, strict=False)]
    plan = combine(plans)
    expected = [
        {i: one[row][0] for i, one in enumerate(map(by_row, plans)) if one[row]} for row in range(ROWS)
    ]  # fmt: skip
    assert by_row(plan) == expected
    for piece in plan.tensors[0].pieces:
        named = [plan.donors[source.donor].digest for source in piece.sources]
        assert named == sorted(named), "the order does not depend on how donors were named"
    for i, one in enumerate(plans):
        left = without_others(plan, {i}).tensors[0].pieces
        own = tuple(replace(p, sources=tuple(replace(s, donor=i) for s in p.sources)) for p in one.tensors[0].pieces)
        assert left == own, "the same pieces, however the others had cut them"
    assert plan_from_dict(plan.to_dict()) == plan


def test_a_plan_of_one_donor_has_the_fingerprint_and_the_data_that_it_had_before() -> None:
    turned = Turned((Rows("a", 0, 4, 2), Rows("b", 1, 3, 2)))
    pieces = (Piece(0, 4, (Source(turned, 0),), "c", 2), Piece(4, 6, (Source("d", 3),)))
    tensor = TensorPlan("w", "BF16", (8, 4), "mlp", pieces)
    plan = MergePlan(identity("1"), (identity("2"),), identity("3"), (tensor,), ({"e": "unused"},))
    assert plan.fingerprint == "d1be17f26741cbd3"
    found = plan.to_dict()
    assert found["donor"]["digest"] == "2"
    assert found["unused"] == {"e": "unused"}
    assert found["tensors"][0]["pieces"][1] == {
        "start": 4, "stop": 6, "donor": "d", "donor_start": 3, "ancestor": None, "ancestor_start": 0,
    }  # fmt: skip
    assert "donors" not in found


def test_fingerprints_tell_donors_and_their_order() -> None:
    one, two = (plan_of(digest, (Piece(0, ROWS, (Source("x", 0),)),)) for digest in "ab")
    found = {combine(plans).fingerprint for plans in ([one], [two], [one, two], [two, one])}
    assert len(found) == 4
    assert combine([one]) is one


def test_what_is_told_of_one_donor_names_it() -> None:
    whole = (Piece(0, ROWS, (Source("x", 0),)),)
    plan = combine([plan_of("a", whole), plan_of("b", (), "the donor has no counterpart")])
    assert plan.notes == ("a: embeddings: of a", "b: embeddings: of b")
    assert plan.tensors[0].reason == "b: the donor has no counterpart"
    assert plan.merged_share == 1
    assert combine([plan_of("a", (), "kept"), plan_of("b", (), "kept")]).tensors[0].reason == "kept"


@pytest.fixture
def family(tmp_path: Path) -> dict[str, str]:
    """A base and three donors of one ancestor, each of another family; and a stranger."""
    return save_family(tmp_path)


def test_every_donor_is_mapped_by_its_own_architecture(family: dict[str, str], capsys: pytest.CaptureFixture) -> None:
    donors = (family["onevision"], family["text"], family["small"])
    plan = plan_pair(PairSettings(family["base"], donors=donors)).plan
    assert [donor.architecture for donor in plan.donors] == ["llava-onevision", "qwen2", "llava-onevision"]
    q = next(tensor for tensor in plan.tensors if tensor.name == "model.layers.0.self_attn.q_proj.weight")
    names = {source.donor: source.tensor for source in q.pieces[0].sources}
    assert names == {
        0: "language_model.model.layers.0.self_attn.q_proj.weight",
        1: "model.layers.0.self_attn.q_proj.weight",
        2: "language_model.model.layers.0.self_attn.q_proj.weight",
    }
    own = [note for note in plan.notes if "embeddings" in note]
    assert any(note.startswith("onevision, text: embeddings: the vocabularies are equal") for note in own)
    assert any(note.startswith("small: embeddings: kept") for note in own), "vocabularies are compared one by one"
    checked = [note.partition(": ancestry: cosine")[0] for note in plan.notes if "ancestry: cosine" in note]
    assert sorted(", ".join(checked).split(", ")) == ["onevision", "small", "text"], "each is checked"
    assert count(plan)["embed_tokens"].from_donor == {0: 1, 1: 1}
    print_plan(plan)
    table = capsys.readouterr().out
    assert "donor 3" in table
    assert "unused in donor 2" in table or "unused in donor 1" in table


def test_all_that_is_wrong_with_any_donor_is_told_at_once(family: dict[str, str]) -> None:
    donors = (family["onevision"], family["stranger"], family["deeper"])
    with pytest.raises(UserError) as raised:
        plan_pair(PairSettings(family["base"], donors=donors))
    text = str(raised.value)
    assert f"{family['stranger']} does not share an ancestor" in text
    assert f"{family['deeper']}: the config says 3 layers" in text
    assert family["onevision"] not in text
    with pytest.raises(UserError, match=r"copy is the same model as .*onevision; name each once"):
        plan_pair(PairSettings(family["base"], donors=(family["onevision"], family["copy"])))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "donor: none; give one donor, or several as donors="),
        ({"donor": "a", "donors": ("b", "c")}, r"donor=a and donors=\[b,c\]; give one donor"),
        ({"donors": ("a", "b", "a")}, "donors: a is no further donor"),
        ({"donors": ("a", "")}, "an empty name is no further donor"),
        (
            {"donors": ("a", "b"), "mapping": MappingConfig(donor_architectures=("llava",))},
            "mapping.donor_architectures: 1 for 2 `donors`",
        ),
    ],
)
def test_what_is_merged_has_to_be_clear(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PairSettings("base", **given)  # type: ignore[arg-type]


def test_an_architecture_can_be_named_for_each() -> None:
    mapping = MappingConfig(donor_architectures=("", "llava"), duplicates="keep")
    settings = PairSettings("base", donors=("a", "b"), mapping=mapping)
    assert [settings.mapping_of(i).donor_architecture for i in (0, 1)] == [None, "llava"]
    assert settings.mapping_of(1).duplicates == "keep"
    one = PairSettings("base", donor="a", mapping=MappingConfig(donor_architecture="cogvlm"))
    assert one.mapping_of(0).donor_architecture == "cogvlm"
