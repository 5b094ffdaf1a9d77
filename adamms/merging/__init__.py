"""Step 2 of the method: executing a plan (paper, section 3.2)."""

from adamms.merging.execute import Originals, TensorSource, merged_blocks
from adamms.merging.measure import measure
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import Statistics

__all__ = ["Originals", "Recipe", "Statistics", "TensorSource", "measure", "merged_blocks"]
