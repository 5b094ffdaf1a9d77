"""Rows of the embeddings correspond by token, and never a row that a matrix does not have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.errors import UserError
from adamms.mapping import MergePlan, plan_merge
from adamms.mapping.config import MappingConfig
from adamms.mapping.vocabulary import read_vocabulary
from tests.support import checkpoints as c

ALPHA = 0.5
EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def model(
    folder: Path, seed: int, rows: int, vocabulary: dict[str, int] | None, tied: bool = False, saved_head: bool = False
) -> Checkpoint:
    sizes = replace(c.GQA, layers=1, vocabulary=rows)
    weights = c.tuned(c.language_model(sizes=sizes), seed)
    named = c.llama_names()(weights, sizes)
    if tied:
        named[HEAD] = named[EMBED].clone()
        if not saved_head:
            del named[HEAD]
    config = {**sizes.config, "model_type": "qwen2", "tie_word_embeddings": tied}
    return open_checkpoint(str(c.write_checkpoint(folder, named, config, vocabulary)))


def merged(base: Checkpoint, donor: Checkpoint, mode: str = "auto") -> tuple[c.Named, c.Named, c.Named, MergePlan]:
    plan = plan_merge(base, donor, MappingConfig(embeddings=mode))  # type: ignore[arg-type]
    return c.execute(plan, base, donor, ALPHA), c.read_all(base), c.read_all(donor), plan


def by_token(ours: torch.Tensor, theirs: torch.Tensor, pairs: list[tuple[int, int]]) -> torch.Tensor:
    result = ours.clone()
    for row, donor_row in pairs:
        result[row] = (ours[row] + theirs[donor_row]) / 2
    return result


def test_equal_vocabularies_merge_row_by_row(tmp_path: Path) -> None:
    found, ours, theirs, plan = merged(
        model(tmp_path / "a", 1, 20, c.words(17)), model(tmp_path / "b", 2, 20, c.words(17))
    )
    for name in (EMBED, HEAD):
        torch.testing.assert_close(found[name], (ours[name] + theirs[name]) / 2)
    assert "embeddings: the vocabularies are equal (17 tokens): merged row by row" in plan.notes


@pytest.mark.parametrize(("rows", "donor_rows"), [(20, 24), (24, 20)])
def test_padding_on_either_side_stays(tmp_path: Path, rows: int, donor_rows: int) -> None:
    found, ours, theirs, plan = merged(
        model(tmp_path / "a", 1, rows, c.words(17)), model(tmp_path / "b", 2, donor_rows, c.words(17))
    )
    torch.testing.assert_close(found[EMBED], by_token(ours[EMBED], theirs[EMBED], [(i, i) for i in range(20)]))
    reasons = {tensor.reason for tensor in plan.tensors if tensor.name == EMBED}
    assert reasons == ({""} if rows == 20 else {"4 rows have no counterpart in the donor's vocabulary"})


def test_unequal_vocabularies_are_kept_by_default(tmp_path: Path) -> None:
    found, ours, _, plan = merged(
        model(tmp_path / "a", 1, 20, c.words(17)), model(tmp_path / "b", 2, 20, {**c.words(17), "<image>": 17})
    )
    torch.testing.assert_close(found[EMBED], ours[EMBED])
    assert plan.unused[0][EMBED] == plan.unused[0][HEAD]
    assert "kept, since the vocabularies differ (17 and 18 tokens, 17 in common)" in plan.unused[0][HEAD]


def test_align_goes_by_token_and_never_beyond_a_matrix(tmp_path: Path) -> None:
    ours_tokens = {**c.words(12), "<image>": 12, "<pad>": 13, "only-here": 14, "beyond": 40}
    theirs_tokens = {"<pad>": 0, **{f"t{i}": i + 2 for i in range(12)}, "<image>": 30, "other": 1, "beyond": 3}
    found, ours, theirs, _ = merged(
        model(tmp_path / "a", 1, 20, ours_tokens), model(tmp_path / "b", 2, 18, theirs_tokens), "align"
    )
    pairs = [(13, 0), *((i, i + 2) for i in range(12))]  # <image>: the donor's matrix ends at 18; beyond: ours at 20
    for name in (EMBED, HEAD):
        torch.testing.assert_close(found[name], by_token(ours[name], theirs[name], pairs))


PER_LAYER = "model.embed_tokens_per_layer.weight"


def gemma3n(folder: Path, seed: int, rows: int, per_layer_rows: int, vocabulary: dict[str, int] | None) -> Checkpoint:
    """Gemma 3n has embeddings of each layer beside the usual ones, of which its real models have fewer rows."""
    sizes = replace(c.GQA, layers=1, vocabulary=rows)
    shapes = {PER_LAYER: (per_layer_rows, 8), "model.per_layer_model_projection.weight": (8, sizes.hidden)}
    random = torch.Generator().manual_seed(7)
    more: c.Weights = {(name, None): torch.randn(shape, generator=random) for name, shape in shapes.items()}
    weights = c.tuned(c.language_model(sizes=sizes), seed)
    named = {**c.llama_names()(weights, sizes), **{name: w for (name, _), w in c.tuned(more, seed).items()}}
    config = {**sizes.config, "model_type": "gemma3n_text"}
    return open_checkpoint(str(c.write_checkpoint(folder, named, config, vocabulary)))


def test_embeddings_of_each_layer_go_by_token_too(tmp_path: Path) -> None:
    """A donor with a token more, before the others."""
    base = gemma3n(tmp_path / "a", 1, 20, 15, c.words(17))
    donor = gemma3n(tmp_path / "b", 2, 21, 16, {"<new>": 0, **{f"t{i}": i + 1 for i in range(17)}})
    found, ours, theirs, plan = merged(base, donor, "align")
    for name, rows in ((EMBED, 17), (HEAD, 17), (PER_LAYER, 15)):
        pairs = [(i, i + 1) for i in range(rows)]
        torch.testing.assert_close(found[name], by_token(ours[name], theirs[name], pairs))
    reasons = {tensor.name: tensor.reason for tensor in plan.tensors}
    assert (reasons[PER_LAYER], reasons[EMBED]) == ("", "3 rows have no counterpart in the donor's vocabulary")
    assert plan.unused == ({},)
    ancestor = gemma3n(tmp_path / "c", 3, 22, 17, {"<a>": 0, "<b>": 1, **{f"t{i}": i + 2 for i in range(17)}})
    with_ancestor = plan_merge(base, donor, MappingConfig(embeddings="align"), ancestor)
    (piece,) = next(tensor for tensor in with_ancestor.tensors if tensor.name == PER_LAYER).pieces
    assert (piece.start, piece.stop, piece.sources[0].start, piece.ancestor_start) == (0, 15, 1, 2)


def test_embeddings_of_each_layer_are_kept_with_the_others(tmp_path: Path) -> None:
    base = gemma3n(tmp_path / "a", 1, 20, 15, c.words(17))
    donor = gemma3n(tmp_path / "b", 2, 20, 15, c.words(18))
    found, ours, _, plan = merged(base, donor)
    torch.testing.assert_close(found[PER_LAYER], ours[PER_LAYER])
    assert plan.unused[0][PER_LAYER] == plan.unused[0][EMBED]
    assert plan.unused[0][PER_LAYER].startswith("kept, since the vocabularies differ")


def test_embeddings_of_each_layer_that_one_side_lacks_are_told(tmp_path: Path) -> None:
    """Whatever the vocabularies are: a model without them is another one."""
    names = [gemma3n(tmp_path / name, seed, 20, 15, c.words(17)).folder for seed, name in enumerate("ab")]
    file = names[1] / "model.safetensors"
    save_file({name: tensor for name, tensor in load_file(file).items() if name != PER_LAYER}, file)
    for base, donor in (names, names[::-1]):
        for mode in ("auto", "keep"):
            with pytest.raises(UserError, match=r"1 tensors of the language model of .*embed_tokens_per_layer"):
                merged(open_checkpoint(str(base)), open_checkpoint(str(donor)), mode)


def test_same_without_tokenizers_merges_row_by_row(tmp_path: Path) -> None:
    found, ours, theirs, plan = merged(
        model(tmp_path / "a", 1, 20, None), model(tmp_path / "b", 2, 23, c.words(17)), "same"
    )
    torch.testing.assert_close(found[HEAD], (ours[HEAD] + theirs[HEAD][:20]) / 2)
    assert any("merged row by row, as mapping.embeddings=same asks" in note for note in plan.notes)


def test_auto_without_a_tokenizer_keeps_and_says_what_to_do(tmp_path: Path) -> None:
    found, ours, _, plan = merged(model(tmp_path / "a", 1, 20, None), model(tmp_path / "b", 2, 20, None))
    torch.testing.assert_close(found[HEAD], ours[HEAD])
    assert any("mapping.embeddings=same merges row by row" in note for note in plan.notes)


def test_same_with_further_tokens_on_one_side(tmp_path: Path) -> None:
    found, ours, theirs, _ = merged(
        model(tmp_path / "a", 1, 20, {**c.words(17), "<image>": 17}),
        model(tmp_path / "b", 2, 20, {**c.words(17), "<box>": 17}),
        "same",
    )
    torch.testing.assert_close(found[EMBED], by_token(ours[EMBED], theirs[EMBED], [(i, i) for i in range(17)]))


def test_same_refuses_to_mix_tokens(tmp_path: Path) -> None:
    base = model(tmp_path / "a", 1, 20, {"a": 0, "b": 1})
    donor = model(tmp_path / "b", 2, 20, {"a": 1, "b": 0})
    with pytest.raises(UserError, match=r"2 of these have other rows, first 'a' \(0 and 1\).*use align or keep"):
        merged(base, donor, "same")


def test_align_needs_both_tokenizers(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="align needs both tokenizers"):
        merged(model(tmp_path / "a", 1, 20, None), model(tmp_path / "b", 2, 20, c.words(17)), "align")


def test_keep(tmp_path: Path) -> None:
    same = c.words(17)
    found, ours, _, _ = merged(model(tmp_path / "a", 1, 20, same), model(tmp_path / "b", 2, 20, same), "keep")
    torch.testing.assert_close(found[EMBED], ours[EMBED])


@pytest.mark.parametrize("saved", [False, True])
def test_a_tied_base_takes_the_donors_embeddings(tmp_path: Path, saved: bool) -> None:
    """Also where its file holds lm_head once more: the two stay equal."""
    base = model(tmp_path / "a", 1, 20, c.words(20), tied=True, saved_head=saved)
    found, ours, theirs, plan = merged(base, model(tmp_path / "b", 2, 20, c.words(20)))
    torch.testing.assert_close(found[EMBED], (ours[EMBED] + theirs[EMBED]) / 2)
    assert plan.unused == ({HEAD: "lm_head is embed_tokens in the base"},)
    if saved:
        torch.testing.assert_close(found[HEAD], found[EMBED])


@pytest.mark.parametrize("saved", [False, True])
def test_a_tied_donor_gives_its_embeddings_to_the_head(tmp_path: Path, saved: bool) -> None:
    donor = model(tmp_path / "b", 2, 20, c.words(20), tied=True, saved_head=saved)
    found, ours, theirs, _ = merged(model(tmp_path / "a", 1, 20, c.words(20)), donor)
    torch.testing.assert_close(found[HEAD], (ours[HEAD] + theirs[EMBED]) / 2)


@pytest.mark.parametrize("tied", [False, True])
def test_the_ancestors_rows_go_by_its_own_vocabulary(tmp_path: Path, tied: bool) -> None:
    tokens = {**c.words(10), "<image>": 10, "late": 11}
    base, donor = model(tmp_path / "a", 1, 14, tokens), model(tmp_path / "b", 2, 14, tokens)
    shifted = {"first": 0, **{f"t{i}": i + 1 for i in range(10)}, "late": 30}
    ancestor = model(tmp_path / "c", 3, 12, shifted, tied=tied)
    plan = plan_merge(base, donor, MappingConfig(), ancestor)
    for tensor in (t for t in plan.tensors if t.name in (EMBED, HEAD)):
        (piece,) = tensor.pieces  # neither <image>, which the ancestor does not know, nor `late`, which lies beyond
        assert (piece.start, piece.stop, piece.sources[0].start, piece.ancestor_start) == (0, 10, 0, 1)
        assert piece.ancestor == (EMBED if tied else tensor.name)
        assert tensor.reason == "4 rows have no counterpart in the ancestor's vocabulary"  # base and donor are padded


@pytest.mark.parametrize("lacks", ["base", "ancestor"])
def test_it_is_said_where_the_ancestors_rows_are_assumed(tmp_path: Path, lacks: str) -> None:
    tokens = {name: None if name == lacks else c.words(14) for name in ("base", "donor", "ancestor")}
    base, donor, ancestor = (model(tmp_path / name, 1, 14, known) for name, known in tokens.items())
    plan = plan_merge(base, donor, MappingConfig(embeddings="same"), ancestor)
    (told,) = (note for note in plan.notes if note.startswith("embeddings: "))
    without = {"base": base, "ancestor": ancestor}[lacks].location
    assert told.endswith(f"; the ancestor's rows are taken to be the base's, since {without} has no tokenizer")
    kept = plan_merge(base, donor, MappingConfig(embeddings="keep"), ancestor)
    assert not any("taken to be" in note for note in kept.notes)


def test_rows_that_the_donor_and_rows_that_the_ancestor_lacks_are_told_apart(tmp_path: Path) -> None:
    base, donor = model(tmp_path / "a", 1, 20, c.words(17)), model(tmp_path / "b", 2, 17, c.words(15))
    plan = plan_merge(base, donor, MappingConfig(embeddings="align"), model(tmp_path / "c", 3, 20, c.words(11)))
    assert {tensor.reason for tensor in plan.tensors if tensor.name in (EMBED, HEAD)} == {
        "5 rows have no counterpart in the donor's vocabulary; 4 rows have no counterpart in the ancestor's vocabulary"
    }


def test_an_ancestor_of_equal_vocabulary_gives_the_rows_that_it_has(tmp_path: Path) -> None:
    base, donor = model(tmp_path / "a", 1, 14, c.words(14)), model(tmp_path / "b", 2, 14, c.words(14))
    plan = plan_merge(base, donor, MappingConfig(), model(tmp_path / "c", 3, 12, c.words(14)))
    (piece,) = next(tensor for tensor in plan.tensors if tensor.name == EMBED).pieces
    assert (piece.start, piece.stop, piece.ancestor_start) == (0, 12, 0)


def test_two_tokens_of_one_row_are_one_row(tmp_path: Path) -> None:
    base = model(tmp_path / "a", 1, 20, {"a": 3, "A": 3, "b": 4})
    donor = model(tmp_path / "b", 2, 20, {"a": 5, "A": 6, "b": 7})
    plan = plan_merge(base, donor, MappingConfig(embeddings="align"))  # type: ignore[arg-type]
    pieces = next(tensor for tensor in plan.tensors if tensor.name == EMBED).pieces
    assert [(p.start, p.stop, p.sources[0].start) for p in pieces] == [(3, 4, 5), (4, 5, 7)]


def test_vocabularies_from_every_kind_of_file(tmp_path: Path) -> None:
    assert read_vocabulary(tmp_path) is None
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "vocab.json").write_text(json.dumps({"a": 0, "b": 1}))
    (tmp_path / "slow" / "added_tokens.json").write_text(json.dumps({"<x>": 2}))
    decoder = {"added_tokens_decoder": {"3": {"content": "<y>"}}}
    (tmp_path / "slow" / "tokenizer_config.json").write_text(json.dumps(decoder))
    assert read_vocabulary(tmp_path / "slow") == {"a": 0, "b": 1, "<x>": 2, "<y>": 3}
    unigram = {"model": {"vocab": [["<unk>", 0.0], ["▁a", -1.5]]}, "added_tokens": [{"content": "<x>", "id": 2}]}
    (tmp_path / "slow" / "tokenizer.json").write_text(json.dumps(unigram))
    assert read_vocabulary(tmp_path / "slow") == {"<unk>": 0, "▁a": 1, "<x>": 2}


def test_a_sentencepiece_model(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "text").write_text("\n".join(f"the quick brown fox {i} jumps" for i in range(200)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "tokenizer"), vocab_size=40, minloglevel=2
    )
    found = read_vocabulary(tmp_path)
    assert found is not None
    assert len(found) == 40
    assert found["<unk>"] == 0
    (tmp_path / "tokenizer.model").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="not a sentencepiece model"):
        read_vocabulary(tmp_path)


@pytest.mark.parametrize(
    "broken",
    [
        "[]", "{", '{"model": 3}', '{"model": {}}', '{"model": {"vocab": [3]}}', '{"model": {"vocab": {"a": "b"}}}',
        '{"model": {"vocab": {}}, "added_tokens": [3]}',
        '{"model": {"vocab": {}}, "added_tokens": [{"content": [], "id": 1}]}',
    ],
)  # fmt: skip
def test_a_broken_tokenizer_is_one_line(tmp_path: Path, broken: str) -> None:
    (tmp_path / "tokenizer.json").write_text(broken)
    with pytest.raises(UserError) as found:
        read_vocabulary(tmp_path)
    assert "\n" not in str(found.value)
