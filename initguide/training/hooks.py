"""Whether somebody watches or has changed what a model does.

Such a model is computed as it stands. Steps that go around its modules, or compute several networks
by the modules of one, would leave out what its owner has added.
"""

from torch import Tensor, nn


def is_changed(module: nn.Module) -> bool:
    """Whether somebody replaced a module's forward, hooked it, or compiled it by torch."""
    return any(
        name == "forward" or (value and name.endswith(("_hooks", "_compiled_call_impl")))
        for name, value in vars(module).items()
    )


def is_hooked(parameter: Tensor) -> bool:
    """Whether somebody looks at a parameter's gradients, or changes them."""
    hooks = ("_backward_hooks", "_post_accumulate_grad_hooks")
    return any(getattr(parameter, name, None) for name in hooks)
