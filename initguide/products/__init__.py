"""Which parameters a pass multiplies by: found from the functions that it calls, not from modules.

A linear map is a product in which axes are summed over, whatever module holds its weights, and
whether that module is one of torch's. Every product here is read as an `torch.einsum`: an axis of
the weights that is summed over is one of inputs, one that reaches the result from the weights alone
is one of outputs, and one that both factors share with the result counts matrices (experts, heads).
"""

from initguide.products.notes import TensorNotes
from initguide.products.uses import Product, Uses

__all__ = ["Product", "TensorNotes", "Uses"]
