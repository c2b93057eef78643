"""The embedded sample of Fashion-MNIST, as four IDX files; ``make.py`` beside it makes them."""
