from transformers import LlavaOnevisionConfig


class OriginalOnevisionConfig(LlavaOnevisionConfig):  # type: ignore[misc]
    """transformers' LLaVA-OneVision, of a checkpoint in lmms-lab's own layout.

    Attributes:
        tower: the folder with the weights of the vision tower; '' where they are the checkpoint's own.
    """

    model_type = "original_llava_onevision"

    tower: str = ""
