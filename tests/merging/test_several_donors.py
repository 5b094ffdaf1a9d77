"""Several donors merged into one base at once: by each method, on disk, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adamms.commands.merge import merge
from adamms.commands.settings import MergeJobSettings
from adamms.config import load_settings
from adamms.errors import UserError
from adamms.mapping import PlannedPair, Source, TensorPlan, plan_pair
from adamms.mapping.config import MappingConfig, PairSettings
from adamms.merging import Originals, Recipe, gather_statistics, spans
from adamms.merging.companions import was_merged_as
from adamms.merging.methods import METHODS
from adamms.merging.recipe import parse_alpha
from adamms.merging.to_disk import merge_to_disk
from tests.merging.conftest import save_family
from tests.merging.test_methods import NAME, Memory, plan_of, whole_piece
from tests.merging.test_to_disk import assert_same, weights
from tests.support import reference
from tests.support.merged import merged_tensor

MANY = [name for name, method in METHODS.items() if method.many_donors]
WEIGHTED = [name for name in MANY if METHODS[name].uses_alpha]
DIGESTS = ("d1", "d2", "d3")


def setting(shape=(16, 12), count=3, seed=3):
    """A base and some donors with one tensor, grown from an ancestor, as a plan and its sources."""
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(shape, generator=g)
    models = [root + 0.1 * torch.randn(shape, generator=g) for _ in range(count + 1)]
    sources = tuple(Source(NAME, 0, donor) for donor in range(count))
    tensor = TensorPlan(NAME, "F32", shape, "w", (replace(whole_piece(shape[0], NAME), sources=sources),))
    base, *donors = (Memory({NAME: model}) for model in models)
    originals = Originals(base, tuple(donors), Memory({NAME: root}), DIGESTS[:count])
    plan = plan_of(tensor)
    return replace(plan, donors=plan.donors * count), originals


def merged(recipe, plan, originals):
    left = recipe.left_of(plan)
    statistics = gather_statistics(left, originals, recipe)
    return merged_tensor(left.tensors[0], originals, recipe, statistics)


def arrays(originals):
    """Task vectors of the base and of every donor, and the ancestor."""
    root = np.asarray(originals.ancestor[NAME])
    return [reference.tau(np.asarray(m[NAME]), root) for m in (originals.base, *originals.donors)], reference.f64(root)


def elect(vectors, shares):
    """TIES' disjoint merge, weighted: of all values with the sign of the weighted sum the weighted mean."""
    values, w = np.stack(vectors), np.array(shares).reshape(-1, *[1] * vectors[0].ndim)
    sign = np.sign((w * values).sum(0))
    agree = (np.sign(values) == sign) & (sign != 0) & (w > 0)
    total = (w * agree).sum(0)
    return np.where(total > 0, (w * values * agree).sum(0) / np.where(total > 0, total, 1), 0)


def by_the_papers(method, alphas, originals):
    """Each method a second time, in float64 on whole tensors."""
    vectors, root = arrays(originals)
    shares = [1 - sum(alphas), *alphas]
    match method:
        case "linear" | "task_arithmetic":
            return root + sum(w * t for w, t in zip(shares, vectors, strict=True))
        case "ties":
            limits = [reference.kept_from(t, 0.2) for t in vectors]
            return root + elect([np.where(abs(t) >= k, t, 0) for t, k in zip(vectors, limits, strict=True)], shares)
        case "dare_linear" | "dare_ties":
            keys = ("base", *(f"donor {digest}" for digest in DIGESTS))
            kept = [reference.dare(t, 0.5, 0, key, NAME) for t, key in zip(vectors, keys, strict=False)]
            mixed = sum(w * t for w, t in zip(shares, kept, strict=True))
            return root + (mixed if method == "dare_linear" else elect(kept, shares))
        case "metagpt":
            norms = [(t**2).sum() for t in vectors]
            return root + sum(n / sum(norms) * t for n, t in zip(norms, vectors, strict=True))
        case "model_stock":
            n = len(vectors)
            cosines = [(a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(vectors, 2)]
            cosine = max(0.0, np.mean(cosines))
            return root + n * cosine / (1 + (n - 1) * cosine) * np.mean(vectors, 0)
    raise NotImplementedError(method)


@pytest.mark.parametrize("method", sorted(set(MANY) - {"della", "breadcrumbs"}))
@pytest.mark.parametrize("alphas", [(0.2, 0.3, 0.1), (0.5, 0.1, 0.4)])
def test_what_is_merged_is_what_the_papers_say(method, alphas):
    plan, originals = setting()
    found = merged(Recipe(method, alphas), plan, originals)
    np.testing.assert_allclose(found.numpy(), by_the_papers(method, alphas, originals), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", WEIGHTED)
def test_one_donor_more_of_weight_0_changes_no_bit(method):
    plan, originals = setting()
    for donor in range(3):
        alphas = tuple(0.3 if i == donor else 0.0 for i in range(3))
        found = merged(Recipe(method, alphas), plan, originals)
        sources = (Source(NAME, 0),)
        piece = replace(plan.tensors[0].pieces[0], sources=sources)
        alone = plan_of(replace(plan.tensors[0], pieces=(piece,)))
        own = Originals(originals.base, (originals.donors[donor],), originals.ancestor)
        assert torch.equal(found, merged(Recipe(method, 0.3), alone, own))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=3), st.integers(0, 5))
def test_linear_stays_between_the_models_whatever_the_weights(shares, seed):
    alphas = tuple(share / max(sum(shares), 1) for share in shares)
    plan, originals = setting((5, 3), len(alphas), seed)
    found = merged(Recipe("linear", alphas), plan, originals)
    models = torch.stack([m[NAME] for m in (originals.base, *originals.donors)])
    assert (found >= models.amin(0) - 1e-6).all()
    assert (found <= models.amax(0) + 1e-6).all()
    base = originals.base[NAME]
    same = replace(originals, donors=tuple(Memory({NAME: base}) for _ in alphas))
    assert torch.equal(merged(Recipe("linear", alphas), plan, same), base)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return save_family(tmp_path_factory.mktemp("family"))


def planned(family: dict[str, str], *donors: str, ancestor: bool = True) -> PlannedPair:
    """With embeddings by token, so that some rows of the base have a counterpart in some donors only."""
    models = tuple(family[name] for name in donors)
    given = {"donor": models[0]} if len(models) == 1 else {"donors": models}
    mapping = MappingConfig(embeddings="align")
    origin = family["ancestor"] if ancestor else None
    return plan_pair(PairSettings(family["base"], ancestor=origin, mapping=mapping, **given))


def written(pair: PlannedPair, recipe: Recipe, folder: Path) -> dict[str, torch.Tensor]:
    return weights(merge_to_disk(pair, recipe, folder))


@pytest.mark.parametrize("method", WEIGHTED)
def test_weights_a_and_0_are_the_merge_of_one_donor_on_disk(method, family, tmp_path):
    """Although the other donor lacks rows that this one has, and has rows that this one lacks."""
    for donors, alphas, one in ((("small", "text"), (0.3, 0), "small"), (("small", "text"), (0, 0.6), "text")):
        found = written(planned(family, *donors), Recipe(method, alphas), tmp_path / f"{one}-of-two")
        assert_same(found, written(planned(family, one), Recipe(method, max(alphas)), tmp_path / one))


@pytest.mark.parametrize("method", MANY)
def test_the_order_of_donors_changes_no_bit(method, family, tmp_path):
    alphas = {"small": 0.2, "text": 0.3, "onevision": 0.1}
    found = []
    for order in (("small", "text", "onevision"), ("onevision", "small", "text")):
        recipe = Recipe(method, tuple(alphas[name] for name in order) if METHODS[method].uses_alpha else 0.0)
        found.append(written(planned(family, *order), recipe, tmp_path / order[0]))
    assert_same(*found)


@pytest.mark.parametrize("method", MANY)
def test_on_disk_as_in_memory(method, family, tmp_path, monkeypatch):
    monkeypatch.setattr(spans, "SPAN_BYTES", 700)  # many spans, as a big model has
    pair, recipe = planned(family, "small", "text"), Recipe(method, (0.2, 0.3))
    originals = Originals.of(pair.plan, pair.models)
    statistics = gather_statistics(pair.plan, originals, recipe)
    wanted = {t.name: merged_tensor(t, originals, recipe, statistics) for t in pair.plan.tensors}
    assert_same(written(pair, recipe, tmp_path / "out"), wanted)


def test_where_a_donor_has_no_rows_the_base_has_its_share(family, tmp_path):
    pair = planned(family, "small", "text", ancestor=False)
    found = written(pair, Recipe("linear", (0.2, 0.3)), tmp_path / "out")["model.embed_tokens.weight"].float()
    base, text = (
        model.read(name).reshape(found.shape).float()
        for model, name in ((pair.base, "model.embed_tokens.weight"), (pair.donors[1], "model.embed_tokens.weight"))
    )
    small = pair.donors[0].read("language_model.model.embed_tokens.weight").reshape(found.shape).float()
    rows = len(small)
    for row in range(rows):
        wanted = 0.7 * base[row] + 0.3 * text[row]
        if row < rows - 20:
            wanted = wanted + 0.2 * (small[(row + 7) % rows] - base[row])
        torch.testing.assert_close(found[row], wanted, rtol=1e-2, atol=1e-3)


def test_the_output_says_what_it_was_made_of(family, tmp_path):
    for name, licence in (("text", "mit"), ("small", "cc-by-nc-4.0")):
        (Path(family[name]) / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    pair, recipe = planned(family, "small", "text"), Recipe("ties", (0.2, 0.3))
    folder = merge_to_disk(pair, recipe, tmp_path / "out")
    record = json.loads((folder / "adamms.json").read_text())
    assert record["donor 1"]["location"] == family["small"]
    assert record["donor 2"]["digest"] == pair.donors[1].digest
    assert record["recipe"]["alpha"] == [0.2, 0.3]
    assert was_merged_as(folder, pair.plan, recipe)
    assert not was_merged_as(folder, pair.plan, Recipe("ties", (0.3, 0.2)))
    card = (folder / "README.md").read_text()
    assert "# base merged with small and text" in card
    assert f"`{family['small']}` (donor 1) and `{family['text']}` (donor 2)" in card
    assert "licences of all models apply: base unknown; donor 1 cc-by-nc-4.0; donor 2 mit" in card
    again = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    assert parse_alpha(again.pop("alpha")) == (0.2, 0.3)
    assert again["donors"] == [family["small"], family["text"]]


@pytest.mark.parametrize("donors", [("small",), ("small", "text")])
def test_the_cards_settings_do_it_again(family, tmp_path, donors):
    """What `pipelines/merge.py --config` does with them; without the mapping, embeddings would be kept."""
    pair = planned(family, *donors)
    folder = merge_to_disk(pair, Recipe("ties", (0.2, 0.3)[: len(donors)]), tmp_path / "out")
    file = tmp_path / "again.yaml"
    file.write_text((folder / "README.md").read_text().split("```yaml\n")[1].split("```")[0])
    settings = load_settings(MergeJobSettings, file, [], {})
    again = merge(settings, parse_alpha(settings.alpha), tmp_path / "again")
    assert_same(weights(again), weights(folder))
    for made in (folder, again):
        assert json.loads((made / "adamms.json").read_text())["mapping"] == {"embeddings": "align"}


@pytest.mark.parametrize(
    ("method", "alpha", "message"),
    [
        ("slerp", 0.3, "merging.method=slerp: merges one donor, not 2; breadcrumbs, .* merge several"),
        ("linear", 0.3, "alpha: 1 weight for 2 donors; give each its own, such as --alpha 0.2,0.2"),
        ("linear", (0.3, 0.2, 0.1), "alpha: 3 weights for 2 donors"),
    ],
)
def test_every_donor_has_a_weight(family, tmp_path, method, alpha, message):
    with pytest.raises(UserError, match=message):
        merge_to_disk(planned(family, "small", "text"), Recipe(method, alpha), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("alpha", [(0.6, 0.5), (-0.1, 0.5), (0.3, float("nan")), (), (0.3, "a"), (True, 0.3)])
def test_weights_are_at_most_1_together(alpha):
    with pytest.raises(UserError, match="or one for each of several donors, at most 1 together"):
        Recipe("linear", alpha)


def test_weights_that_add_up_to_1_but_for_rounding():
    recipe = Recipe("linear", (0.1, 0.2, 0.7))
    assert recipe.rule.alphas == (0.1, 0.2, 0.7)
    assert Recipe("linear", (0.3,)) == Recipe("linear", 0.3)
    assert recipe.at(0.05, donor=2).alpha == (0.1, 0.2, 0.05)
    assert recipe.to_dict()["alpha"] == [0.1, 0.2, 0.7]


def test_weights_as_text():
    assert [parse_alpha(text) for text in ("0.3", "0.3, 0.2", 0.3, None)] == [0.3, (0.3, 0.2), 0.3, None]
    with pytest.raises(UserError, match=r"alpha=0\.3;0\.2: expected the donor's weight, or that of each"):
        parse_alpha("0.3;0.2")
