"""The merge methods, one file a family; alpha weighs the donor, everywhere."""

from adamms.merging.methods.linear import Linear
from adamms.merging.methods.method import Found, Method, Operands

METHODS: dict[str, type[Method]] = {
    "linear": Linear,
}

__all__ = ["METHODS", "Found", "Method", "Operands"]
