"""What is known of torch's functions: one file per kind of layer or operation.

Each file registers its rules, or its reasons for having none, with the decorators of
`initguide.prediction.protocol`, which also says how a rule is written. All files here are imported,
so a new one needs no mention anywhere else.
"""

from importlib import import_module
from pkgutil import iter_modules

for _file in iter_modules(__path__):
    import_module(f"{__name__}.{_file.name}")
