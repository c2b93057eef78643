"""Networks that ``check_networks.py`` asks the check-up about: one file a family."""
