"""The check-up where people are: in their tests, their training loops and their CI.

Lightning and Hugging Face's libraries are optional: they are imported when a callback for them is
made.
"""

from initguide.integrations.acting import InitError
from initguide.integrations.asserting import assert_init_ok
from initguide.integrations.lightning import lightning_callback
from initguide.integrations.sarif import sarif
from initguide.integrations.transformers import trainer_callback

__all__ = ["InitError", "assert_init_ok", "lightning_callback", "sarif", "trainer_callback"]
