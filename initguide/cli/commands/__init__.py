"""One file per command, each with ``add_to(commands)``, which adds it to the parser."""
