"""Networks that the pages share."""

from initguide.models.mlp import Net, mlp

__all__ = ["Net", "mlp"]
