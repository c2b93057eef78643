"""Products of activations, attention and recurrence: why there is no rule."""

from initguide.prediction.protocol import reason

reason(
    "it depends on how the things that it mixes correlate",
    *("matmul", "__matmul__", "bmm", "mm", "einsum", "baddbmm", "softmax", "log_softmax"),
    *("scaled_dot_product_attention", "multi_head_attention_forward"),
    *("lstm", "gru", "rnn_tanh", "rnn_relu"),
)
