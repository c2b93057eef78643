"""Other seeds for all: INITGUIDE_TEST_SEED_OFFSET is added to all that torch and NumPy are given.

Python imports this at its start if the folder is on its path; see ``tests/elsewhere.py``.
"""

import os

if _offset := int(os.environ.get("INITGUIDE_TEST_SEED_OFFSET", "0")):
    import numpy as np
    import torch

    class _Generator(torch.Generator):
        """A generator whose seeds are others."""

        def manual_seed(self, seed: int) -> torch.Generator:
            """Seed it with another number."""
            return super().manual_seed(seed + _offset)

    class _SeedSequence(np.random.SeedSequence):
        """Seeds that are others."""

        def __init__(self, entropy=None, **keywords):
            super().__init__(entropy + _offset if isinstance(entropy, int) else entropy, **keywords)

    class _DefaultGenerator:
        """torch's global generator, seeded with other numbers."""

        def manual_seed(self, seed: int) -> torch.Generator:
            """Seed it with another number."""
            return _default_generator.manual_seed(seed + _offset)

        def __getattr__(self, name: str) -> object:
            return getattr(_default_generator, name)

    _default_generator = torch.default_generator
    torch.default_generator = _DefaultGenerator()
    _default_rng, _manual_seed = np.random.default_rng, torch.manual_seed
    torch.Generator = _Generator
    np.random.SeedSequence = _SeedSequence
    np.random.default_rng = lambda seed=None: _default_rng(
        seed + _offset if isinstance(seed, int) else seed
    )
    torch.manual_seed = lambda seed: _manual_seed(seed + _offset)
