"""Networks and schemes of the tests of pages 7 and 8 of "Why it works"."""

import torch

import initguide
from initguide import initializers as init


def network():
    """Return the lesson's network at a quarter of its width, without dropout."""
    return initguide.Net(64, 32, dropout=0.0)


def first_sums(images, seeds=6, width=256):
    """Pre-activations of the first layer under He's weights: one tensor per seed."""
    found = []
    for seed in range(seeds):
        net = initguide.initialize(initguide.Net(width), "he_normal", seed=seed)
        with torch.no_grad():
            found.append(net.fc1(images.flatten(1)))
    return found


def behind(small, schemes, reference, **settings):
    """Label -> paired difference of the validation loss from the reference's."""
    result = initguide.compare_init_weights(
        schemes, small, model=network, epochs=1, seeds=4, **settings
    )
    return {
        label: result.difference(label, reference, "valid_loss")
        for label in schemes
        if label != reference
    }


def he_then(layer_of, change):
    """He's weights, and then a change of the layers with or without ten outputs."""
    fill = init.he_normal()

    def weights_init(module):
        fill(module)
        if isinstance(module, torch.nn.Linear) and (module.out_features == 10) == (
            layer_of == "output"
        ):
            change(module)

    return weights_init
