from __future__ import annotations

from functools import cached_property
from math import sqrt

from transformers.image_processing_utils import select_best_resolution
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

from adamms.engines.models.processing import SplitProcessor

MOST_SQUARES = 9  # anyres_max_9: a picture's features are scaled down to about so many squares'
_TOLERATED = 1.1


class OriginalOnevisionProcessor(SplitProcessor):
    """A picture is seen whole, and again fitted into a grid of squares, whose features come row by row with a newline
    after each, without those of the padding."""

    image_token = "<image>"
    image_processor_class = LlavaOnevisionImageProcessorPil

    def tokens_of(self, width: int, height: int) -> int:
        resolutions = self.image_processor.image_grid_pinpoints
        best_height, best_width = select_best_resolution((height, width), resolutions)
        per_side = round(sqrt(self.image_tokens))
        rows, columns = (best // self.image_side * per_side for best in (best_height, best_width))
        # the padding is the same on both sides; rounded as transformers does, which vLLM calls
        if width / height > columns / rows:
            rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
        else:
            columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
        shrink = sqrt(rows * columns / (MOST_SQUARES * self.image_tokens))
        if shrink > _TOLERATED:
            rows, columns = int(rows // shrink), int(columns // shrink)
        return int(self.image_tokens + rows * (columns + 1))

    @cached_property
    def largest_image(self) -> tuple[int, int]:
        """Looked for among the pictures that fill a resolution in one direction."""
        per_side, grid = round(sqrt(self.image_tokens)), self.image_processor.image_grid_pinpoints
        step = self.image_side // per_side
        sizes = {(width, part) for height, width in grid for part in range(step, height + 1, step)}
        sizes |= {(part, height) for height, width in grid for part in range(step, width + 1, step)}
        return max(sorted(sizes), key=lambda size: self.tokens_of(*size))
