"""The comparison that the pages on seeds share: four schemes over a dozen seeds."""

SEEDS = 12
SCHEMES = ("general_rule", "lecun_normal", "he_normal", "he_uniform")
