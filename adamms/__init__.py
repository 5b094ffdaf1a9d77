"""AdaMMS: merge multimodal language models of different architecture, and find the coefficient without labels.

The packages are the method's three steps (`mapping`, `merging`, `searching`) and what they stand on
(`checkpoint`, `generation`, `tracking`). Nothing heavy is imported here.
"""

__version__ = "0.1.0"
