"""One training protocol, several ways to carry it out.

`train` trains one network, `train_many` several that start from different weights, on the same data
and by the same protocol. A small network leaves a processor idle: most of a training step is
overhead. So there are several ways to do the steps, and `plan` says which suits a network:

- **compiled**: steps of fully connected ReLU networks, written in C. They go over the memory far
  less often than PyTorch's, and need no Python. The numbers are the same to rounding.
- **side by side**: the images of all networks go through the layers as one long batch. Layers with
  parameters work on each network's part by itself; all else is done once. Each network gets the
  same numbers, to the last bit, as if it were alone.
- **stacked**: the weights of all networks lie in one tensor per layer, and `torch.func.vmap`
  turns every product into one product of stacks. For tiny networks by the thousand, and for GPUs.
  The numbers are the same to rounding.
- **alone**: one network after the other.
- **in pieces**: the same where mini-batches are large (from about a thousand images on): each goes
  through the network piece by piece, and one step is made from the sum of the gradients. The
  activations of a piece are all that has to be in memory at once, and convolutions are a few times
  as fast. The numbers are the same to rounding. Not for batch normalization and dropout, which
  look at a whole mini-batch.

`initguide.sweep` and `initguide.compare_init_weights` use them by themselves. `fit_many` is for
networks of any kind, each with its own weights, learning rate and order of the data. `fit` is the
plain loop over somebody's own mini-batches.

Nothing has to be installed or called for compiled steps. `train` and all that is built on it use
them where

- the machine has a C compiler: ``cc``, ``gcc`` or ``clang``, or the one named by the environment
  variable ``INITGUIDE_CC``. With ``INITGUIDE_CC=off``, nothing is compiled. The variable is read
  once in a process, at the first training;
- it runs Linux or macOS on a processor with AVX2 or AVX-512, as those of PCs and servers have (on
  others, nobody has measured yet whether it pays);
- what was compiled gives what PyTorch gives, for a small network that is tried first;
- the network is a plain one of fully connected layers and ReLU (`initguide.models.Net`, or what
  `initguide.models.mlp` makes, with no hook and nothing frozen) of less than four million
  parameters, a mini-batch has at most 4096 images, and the optimizer is named (``"adam"``,
  ``"sgd"`` or ``"momentum"``).

Everything else is trained by PyTorch, as is everything where there is no compiler; `plan` tells
which it is.

Each run says who trained it (`Run.trainer`) and how the processor rounds (`Run.rounding`), and so
does every table of runs. The latter is the name of the vector instructions that are used, of
PyTorch or of compiled steps, and a checksum of a few products and sums that were computed with
them, such as ``AVX-512 7e7b``: where it differs, the last digits of what is trained differ.

Compiling takes half a second, once. The result, some 40 kB for each compiler, each kind of
processor and each version of the C files, is kept in ``initguide/compiled`` in
``$XDG_CACHE_HOME`` (``~/.cache``), and can be deleted at any time. The compiler is still asked in
each process what it would compile for. Where nothing can be kept, each process compiles.

What is kept is code that will run, so it is loaded only if nobody else could have written it: the
folder and the file belong to the user, nobody else may write to them, neither is a link, and a
checksum binds the content to the sources, the compiler, its flags and the processor. The bytes that
were checked are those that are loaded. The library asks the processor that runs it for the vectors
that it needs before it uses any, so that a home folder may be shared by machines of several kinds.
"""

from initguide.training.fitting import fit
from initguide.training.generators import uses_global_generator
from initguide.training.loop import train, train_many
from initguide.training.many import Fits, fit_many
from initguide.training.optimizers import OptimizerFactory, check_optimizer, make_optimizer
from initguide.training.planning import Plan, plan
from initguide.training.processor import cores, one_thread
from initguide.training.quick import quick_layers
from initguide.training.run import Batch, Dataset, Evaluation, Run, SplitLike, Stop, evaluate
from initguide.training.settings import check_settings
from initguide.training.stack import StackWarning
from initguide.training.values import check_tensors
from initguide.training.ways import side_by_side

__all__ = [
    "Batch",
    "Dataset",
    "Evaluation",
    "Fits",
    "OptimizerFactory",
    "Plan",
    "Run",
    "SplitLike",
    "StackWarning",
    "Stop",
    "check_optimizer",
    "check_settings",
    "check_tensors",
    "cores",
    "evaluate",
    "fit",
    "fit_many",
    "make_optimizer",
    "one_thread",
    "plan",
    "quick_layers",
    "side_by_side",
    "train",
    "train_many",
    "uses_global_generator",
]
