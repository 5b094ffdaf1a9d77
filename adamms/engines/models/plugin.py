"""Makes the models known, to transformers and to vLLM, in every process of an engine."""

PACKAGE = "adamms.engines.models"


def register() -> None:
    """vLLM calls it in each of its processes (entry point `vllm.general_plugins`); nothing of a model is imported."""
    from vllm import ModelRegistry

    register_with_transformers()
    for name, module in {
        "CogVLMForCausalLM": "cogvlm.model",
        "MPLUGOwl2LlamaForCausalLM": "mplug_owl2.model",
        "OriginalLlavaForConditionalGeneration": "llava.model",
        "OriginalOnevisionForConditionalGeneration": "onevision.model",
    }.items():
        ModelRegistry.register_model(name, f"{PACKAGE}.{module}:{name}")


def register_with_transformers() -> None:
    """Configs and processors, which are read before vLLM is imported."""
    from transformers import AutoConfig, AutoProcessor

    from adamms.engines.models.cogvlm.config import CogVLMConfig
    from adamms.engines.models.cogvlm.processor import CogVLMProcessor
    from adamms.engines.models.llava.config import OriginalLlavaConfig
    from adamms.engines.models.llava.processor import OriginalLlavaProcessor
    from adamms.engines.models.mplug_owl2.config import MplugOwl2Config
    from adamms.engines.models.mplug_owl2.processor import MplugOwl2Processor
    from adamms.engines.models.onevision.config import OriginalOnevisionConfig
    from adamms.engines.models.onevision.processor import OriginalOnevisionProcessor

    for config, processor in (
        (CogVLMConfig, CogVLMProcessor),
        (MplugOwl2Config, MplugOwl2Processor),
        (OriginalLlavaConfig, OriginalLlavaProcessor),
        (OriginalOnevisionConfig, OriginalOnevisionProcessor),
    ):
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoProcessor.register(config, processor, exist_ok=True)
