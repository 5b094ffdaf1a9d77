"""The ancestor that a method needs: the one that is given, or else the one that the models' own cards name."""

import sys
from dataclasses import replace
from typing import TypeVar

from adamms.checkpoint import open_checkpoint
from adamms.checkpoint.card import card_metadata
from adamms.checkpoint.resolve import is_hub_id
from adamms.mapping.config import PairSettings
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import check_ancestor

Settings = TypeVar("Settings", bound=PairSettings)


def with_ancestor(settings: Settings, recipe: Recipe) -> Settings:
    """The settings of a merge by this recipe, which have an ancestor exactly where its method needs one.

    Raises:
        UserError: it needs one, none is given, and the cards name none.
    """
    if not recipe.rule.needs_ancestor:
        return replace(settings, ancestor=None)
    if settings.ancestor is None and (named := ancestor_by_cards(settings)):
        print(f"ancestor: {named}, which the cards of all models name as their base_model", file=sys.stderr)
        settings = replace(settings, ancestor=named)
    check_ancestor(recipe, settings.ancestor)
    return settings


def ancestor_by_cards(settings: PairSettings) -> str | None:
    """The only model of the Hub that the cards of base and all donors name as what they were made from; None where
    there is none, or more than one."""
    models = (open_checkpoint(place, weights=False) for place in (settings.base, *settings.all_donors))
    named = [set(base_models(card_metadata(model.folder).get("base_model"))) for model in models]
    common = set.intersection(*named)
    return common.pop() if len(common) == 1 else None


def base_models(told: object) -> list[str]:
    """Ids of the Hub in a card's `base_model`, which is a name or a list of names; anything else is nobody's id."""
    names = told if isinstance(told, list) else [told]
    return [name for name in names if isinstance(name, str) and is_hub_id(name)]
