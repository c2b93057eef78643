"""`python -m initguide.cli` is the command line, too."""

import sys

from initguide.cli.commands import main

sys.exit(main())
