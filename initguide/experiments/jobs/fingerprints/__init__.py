"""What tells one scheme, model, value or data set from another, the same in every process.

`fingerprint` follows a thing through all code of the user that it can reach: functions with the
globals they name, what they close over, defaults, attributes and annotations; classes with their
bases and methods; modules that they import; values by what pickle would keep of them. Code counts
as it is compiled, without comments, line numbers and the place where it stands. What belongs to a
library (`libraries`) counts by its name and version.

cloudpickle takes functions and classes apart, for it knows what belongs to them. Its bytes are no
fingerprint: they hold file names and line numbers, follow the order of sets, and give each class a
random number. So `walk` numbers things in the order in which they are met and writes down what each
is; `code` says what a function names, `values` how arrays and tensors count.

What a run reads from files, from the environment or from the clock is not code, and not followed.
"""

from initguide.experiments.jobs.fingerprints import functions  # noqa: F401  adds its rules
from initguide.experiments.jobs.fingerprints.data import PARTS, fingerprint_of_data
from initguide.experiments.jobs.fingerprints.walk import fingerprint

__all__ = ["PARTS", "fingerprint", "fingerprint_of_data"]
