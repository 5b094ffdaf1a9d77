"""Step 2 of the method: executing a plan (paper, section 3.2)."""

from adamms.merging.execute import Originals, TensorSource
from adamms.merging.gather import gather_statistics
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import Statistics

__all__ = ["Originals", "Recipe", "Statistics", "TensorSource", "gather_statistics"]
