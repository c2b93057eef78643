"""``python -m initguide.cli`` is the command line, too."""

import sys

from initguide.cli.running import main

sys.exit(main())
