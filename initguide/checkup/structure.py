"""Advice that changes what a network is made of, where no weights can help."""

from collections.abc import Sequence

from initguide.checkup.report import WIDTH


def skip_around(layers: Sequence[str]) -> str:
    """Code that adds to what some layers give what they were given."""
    names, line = [], ""
    for layer in layers:
        if len(line) + len(layer) > WIDTH // 2:
            names.append(line)
            line = ""
        line += f'"{layer}", '
    lines = "\n".join(f"    {text.rstrip()}" for text in [*names, line] if text)
    return (
        "def skip(module, given, out):\n"
        "    if isinstance(out, tuple):  # as of attention\n"
        "        return (given[0] + out[0], *out[1:])\n"
        "    return given[0] + out\n"
        f"for name in [\n{lines}\n]:\n"
        "    model.get_submodule(name).register_forward_hook(skip)"
    )


def without_batch_norm() -> str:
    """Code that normalizes each input by itself in place of the batch."""
    return (
        "for name, norm in list(model.named_modules()):\n"
        "    if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):\n"
        "        model.set_submodule(name, torch.nn.GroupNorm(1, norm.num_features))"
    )
