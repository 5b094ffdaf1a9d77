"""For vLLM: models that neither it nor transformers has, and layouts that neither reads, each in its authors' names."""
