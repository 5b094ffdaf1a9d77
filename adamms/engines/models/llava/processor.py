from typing import Any

from adamms.engines.models.processing import SplitProcessor


class OriginalLlavaProcessor(SplitProcessor):
    """Pads pictures to a square with CLIP's mean colour, or cuts one out, as the checkpoint's config says."""

    image_token = "<image>"

    def __init__(
        self, image_processor: Any, tokenizer: Any, chat_template: str | None, image_tokens: int, pad: bool
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template, image_tokens)
        self.pad = pad

    def prepare_image(self, image: Any) -> Any:
        from PIL import Image

        image = image.convert("RGB")
        width, height = image.size
        if not self.pad or width == height:
            return image
        side = max(width, height)
        square = Image.new("RGB", (side, side), tuple(int(255 * mean) for mean in self.image_processor.image_mean))
        square.paste(image, ((side - width) // 2, (side - height) // 2))
        return square
