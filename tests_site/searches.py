"""What people type into the search box, and the page that must be among the first three results.

A page is named by its path in the site, without ``.html``. Add a line for each page written.

Sphinx looks for whole words (by their stems). It ranks a word in a heading above one in the text,
and an exact entry of the index above both: where a page ought to be found by a word that it hardly
uses, give it ``.. index:: ! word``, with the exclamation mark and with nothing but the word.
"""

SEARCHES = [
    ("install", "auto_examples/plot_start_here"),
    ("all zeros", "auto_examples/lesson/plot_2_zeros_and_ones"),
    ("symmetry", "auto_examples/theory/plot_1_symmetry"),
    ("uniform baseline", "auto_examples/lesson/plot_3_uniform"),
    ("general rule", "auto_examples/lesson/plot_4_general_rule"),
    ("normal distribution", "auto_examples/lesson/plot_5_normal"),
    ("pytorch default", "auto_examples/lesson/plot_6_automatic"),
    ("kaiming", "auto_examples/lesson/plot_6_automatic"),
    ("glorot", "auto_examples/lesson/plot_7_choose"),
    ("which one would you choose", "auto_examples/lesson/plot_7_choose"),
    ("xavier", "api/initializers"),
    ("fashion mnist", "api/data"),
    ("compare_init_weights", "api/comparison"),
    ("hist_dist", "api/helpers"),
    ("paired difference", "numbers"),
    ("confidence interval", "numbers"),
    ("which initialization", "which"),
    ("cheat sheet", "which"),
    ("equal units", "auto_examples/theory/plot_1_symmetry"),
    ("fan out", "auto_examples/theory/plot_3_backward"),
    ("gain", "auto_examples/theory/plot_4_gains"),
    ("vanishing gradients", "auto_examples/theory/plot_5_depth"),
    ("edge of chaos", "auto_examples/theory/plot_5_depth"),
    ("dynamical isometry", "auto_examples/theory/plot_6_orthogonal"),
    ("dead relu", "auto_examples/theory/plot_7_inputs_and_units"),
    ("saturation", "auto_examples/theory/plot_7_inputs_and_units"),
    ("finite width", "auto_examples/theory/plot_8_finite_width"),
    ("claims", "auto_examples/theory/plot_9_claims"),
    ("kaiming initialization", "glossary"),
    ("mup", "auto_examples/practice/plot_2_width_and_learning_rate"),
    ("coordinate check", "auto_examples/practice/plot_2_width_and_learning_rate"),
    ("learning rate transfer", "auto_examples/practice/plot_2_width_and_learning_rate"),
    ("lsuv", "auto_examples/practice/plot_3_let_the_data_decide"),
    ("data dependent initialization", "auto_examples/practice/plot_3_let_the_data_decide"),
]
