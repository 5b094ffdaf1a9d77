"""Step 2 of the method: executing a plan (paper, section 3.2)."""

from adamms.merging.execute import TensorSource, merged_chunks
from adamms.merging.recipe import Recipe

__all__ = ["Recipe", "TensorSource", "merged_chunks"]
