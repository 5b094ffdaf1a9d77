from typing import Any, Self

from vllm.v1.core.encoder_cache_manager import EncoderCacheManager


class VisionCache(EncoderCacheManager):  # type: ignore[misc]
    """Holds as many image embeddings as `manager_config["tokens"]` says, and never fewer than vLLM wants.

    The base's vision tower never changes, so an image is encoded once for all alphas, as long as its embeddings are
    kept. vLLM sizes the cache for one batch; this class, named in `ec_manager_config`, sizes it for all prompts.
    """

    @classmethod
    def create_manager(cls, *, cache_size: int, vllm_config: Any) -> Self:
        return cls(max(cache_size, vllm_config.ec_manager_config.manager_config["tokens"]))
