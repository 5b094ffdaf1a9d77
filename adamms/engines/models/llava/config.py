from transformers import LlavaConfig


class OriginalLlavaConfig(LlavaConfig):  # type: ignore[misc]
    """transformers' LLaVA, of a checkpoint in the layout of LLaVA's own code.

    Attributes:
        tower: the folder with the weights of the vision tower; '' where they are the checkpoint's own.
        projector_norms: whether each of the projector's two matrices is followed by a LayerNorm.
    """

    model_type = "original_llava"

    tower: str = ""
    projector_norms: bool = False
