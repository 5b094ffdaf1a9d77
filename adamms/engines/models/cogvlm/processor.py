from typing import Any

from adamms.engines.models.processing import SplitProcessor


class CogVLMProcessor(SplitProcessor):
    """At most one image, which comes before all text; BOS comes first whatever the tokenizer does."""

    valid_images = 1

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None, image_tokens: int) -> None:
        super().__init__(image_processor, tokenizer, chat_template, image_tokens)
        self.first_tokens = [tokenizer.bos_token_id]
