"""`adamms map`: which donor weights would merge into which base weights."""

from adamms.commands.settings import MapSettings
from adamms.mapping import MergePlan, plan_pair
from adamms.support.progress import doing


def map_pair(settings: MapSettings) -> MergePlan:
    """The plan of a pair; of remote models only headers and samples of the weights are fetched.

    Raises:
        UserError: a model cannot be had, or the two cannot be merged.
    """
    with doing("reading the models' headers"):
        return plan_pair(settings, weights=False).plan
