from typing import Any

from adamms.engines.models.processing import SplitProcessor


class MplugOwl2Processor(SplitProcessor):
    """Stretches a picture to a square of its longer side."""

    def prepare_image(self, image: Any) -> Any:
        side = max(image.size)
        return image.convert("RGB").resize((side, side))
