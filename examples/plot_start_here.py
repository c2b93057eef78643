"""
Start here
==========

From nothing to a comparison and a check-up of your own in five minutes: install the package,
compare three initialization schemes, find out what is wrong with a broken network, then put your
own network and your own scheme in.

.. admonition:: What you will learn

   - how to install the package and train from three schemes
   - how to read the table and the figure that come out
   - how to check whether a network is ready to be trained
   - how to put in a network and a scheme of your own

.. meta::
   :keywords: install, quick start, first comparison, check-up, custom network, custom scheme
"""

# %%
# Install
# -------
# .. code-block:: console
#
#    $ pip install .
#
# That is in a clone of the repository. It needs Python 3.11 or newer, and brings PyTorch along if
# you do not have it: some hundred megabytes, and on Linux several gigabytes, because the usual
# build comes with the libraries for NVIDIA's GPUs. None of the pages needs a GPU.
#
# Everything below is what this page printed when the site was built; the downloads under the title
# hold the same as a script and as a notebook. In a script of your own, write ``print(result)`` to
# see a table, and ``matplotlib.pyplot.show()`` at the end to see the figures.
#
# A first comparison
# ------------------
# Fashion-MNIST is downloaded once, or found where an earlier download left it: four files of 31
# megabytes together, which are kept unpacked, as 55. Without a network, a sample of 6,000 images
# that comes with the package stands in. Nothing else is downloaded.

import initguide
from initguide import initializers as init
from initguide import plots

data = initguide.fashion_mnist()
print(data.source)

# %%
# Three schemes, three seeds each. A scheme is a function from :mod:`initguide.initializers`, or
# just its name:

result = initguide.compare_init_weights(
    {"All ones": init.ones(), "PyTorch's default": "default", "He": "he_normal"},
    data,
    model=initguide.Net,
    epochs=1,
    seeds=3,
)
result

# %%
# That is nine networks, trained on all cores of the machine. Each row is the mean over three seeds,
# and ± is half of a 95 % interval for it. Where the remark is "not told from the best", these
# runs cannot tell the two apart, which does not make them equal. The line below says what was
# trained and on which images.

plots.plot_losses(result, first=100)

# %%
# The same network, the same images in the same order, but another start. Is He really better than
# the default, here? The difference is taken seed by seed, which cancels what a seed does to both.
# So it may be clear although the two ± overlap:

he = result.difference("He", "PyTorch's default")
print(he)

# %%

initguide.says(
    he.better(),
    "Yes: after one epoch He is ahead by {he:+.2f} points of validation accuracy.",
    "No: after one epoch He is behind, by {he:+.2f} points of validation accuracy.",
    "Three seeds cannot tell: the interval, {he:+.2f} points, holds zero. More seeds would make it "
    "narrower.",
    he=he,
) + initguide.says(
    result.difference("PyTorch's default", "All ones").better(0.2),
    "All ones is far behind both.",
    "All ones is not far behind.",
    "How far all ones is behind, three seeds cannot tell.",
)

# %%
# A first check-up
# ----------------
# Could one have known what would come of all ones? :func:`initguide.check_init` sends one batch
# forward and back, without training, and says what is wrong, where, and what to do:

images, labels = data.train.images[:100], data.train.labels[:100]
net = initguide.initialize(initguide.Net(), "ones")
ones = initguide.check_init(net, images, labels)
ones

# %%

initguide.says(
    not ones.ok,
    "Yes: the check-up finds errors before any training.",
    "No: the check-up finds nothing wrong with this start.",
)

# %%
# (The first loss alone would not tell: with ones, the ten scores of an image are equal but for
# rounding, as :doc:`page 2 of the lesson <lesson/plot_2_zeros_and_ones>` shows.)
#
# The advice is code to paste. Following it:

initguide.initialize(net, "he_normal", seed=0)
report = initguide.check_init(net, images, labels)
print("ready to be trained:", report.ok)
report

# %%
# Your own network
# ----------------
# ``model=`` takes anything that makes a new network when it is called. Images arrive with the shape
# (N, 1, 28, 28), and ten scores per image come out:

from torch import nn


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 8, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),
    )


# %%
# Your own scheme
# ---------------
# A scheme is a function of a module. This one fills what it knows and leaves the rest alone. Would
# you use it?


def my_scheme(module):
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        nn.init.zeros_(module.bias)


mine = initguide.compare_init_weights(
    {
        "N(0, 0.02²)": my_scheme,
        "He": init.he_normal(),
        "Xavier": init.xavier_normal(),
    },
    data,
    model=small_cnn,
    epochs=1,
    seeds=3,
)
mine

# %%

own = mine.difference("He", "N(0, 0.02²)")
initguide.says(
    own.better(),
    "Rather not: on this network He is better by {own:+.1f} points after one epoch.",
    "Why not: on this network He is no better after one epoch.",
    "Three seeds cannot tell it from He on this network: {own:+.1f} points after one epoch.",
    own=own,
)

# %%
# To use a scheme on a network of your own and train it in your own way, two lines do:

net = initguide.initialize(small_cnn(), "he_normal", seed=0)
print(f"standard deviation of the first layer: {net[0].weight.std():.3f}")

# %%
# Save and load
# -------------
# ``result.save("first.json")`` keeps every run, with the loss of every mini-batch, and
# ``initguide.Comparison.load("first.json")`` brings it back. From a terminal, the same comparison
# is
#
# .. code-block:: console
#
#    $ initguide compare --scheme ones --scheme default --scheme he_normal --seeds 3 --epochs 1
#
# Where to go from here
# ---------------------
# - Something is wrong with a network of yours? From a terminal, ``initguide check
#   torchvision.models:resnet18 --input 8,3,64,64`` checks any network that can be imported.
# - Why do constants fail, and what does a good scheme do? Take
#   :doc:`the lesson </auto_examples/lesson/plot_1_data_and_network>`, seven short pages.
# - Which scheme should it be? :doc:`/which`.
# - What exactly is measured? :doc:`/numbers`.
