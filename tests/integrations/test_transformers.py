"""The callback for Hugging Face's Trainer, in a real one."""

import pickle
import random

import numpy as np
import pytest
import torch

from initguide.integrations import InitError, trainer_callback

hf = pytest.importorskip(
    "transformers", reason="needs transformers: install the group `integrations`"
)
pytest.importorskip("accelerate", reason="needs accelerate: install the group `integrations`")
# Theirs: about loaders on processors, and deprecated parts of torch.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("FutureWarning", "DeprecationWarning", "UserWarning:torch")
]

WORDS = torch.randint(0, 50, (24, 12), generator=torch.Generator().manual_seed(1))


class Texts(torch.utils.data.Dataset):
    """Sentences of words drawn at random, each its own label."""

    def __len__(self):
        return len(WORDS)

    def __getitem__(self, at):
        assert 0 <= at < len(WORDS)
        return {"input_ids": WORDS[at], "labels": WORDS[at]}


class Stream(torch.utils.data.IterableDataset):
    """The same, one after the other."""

    def __iter__(self):
        return ({"input_ids": words, "labels": words} for words in WORDS)


def model(times=1.0):
    """A small GPT-2, from its configuration: nothing is downloaded."""
    torch.manual_seed(0)
    config = hf.GPT2Config(
        vocab_size=50,
        n_positions=12,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    found = hf.GPT2LMHeadModel(config)
    found.transformer.wte.weight.data.mul_(times)
    return found


def trainer(net, tmp_path, *callbacks, data=None):
    """Three steps of eight sentences."""
    settings = hf.TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=3,
        per_device_train_batch_size=8,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        seed=4,
    )
    data = data or Texts()
    return hf.Trainer(net, settings, train_dataset=data, callbacks=list(callbacks))


@pytest.mark.parametrize("data", [Texts, Stream])
def test_a_healthy_model_trains_as_without(tmp_path, data):
    """The callback is silent, and the same numbers come out, to the last bit."""
    plain, watched, callback = model(), model(), trainer_callback(stop=True)
    before = trainer(plain, tmp_path, data=data()).train().training_loss
    after = trainer(watched, tmp_path, callback, data=data()).train().training_loss
    assert callback.report.ok
    assert "the model's own loss" in str(callback.report)
    assert "(8, 12) int64" in str(callback.report)
    assert before == after
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)


def test_stops_before_the_first_step(tmp_path):
    """The error carries the report, and no weight has moved."""
    net, whole = model(times=1000), model(times=1000)
    with pytest.raises(InitError, match=r"wte|lm_head") as caught:
        trainer(net, tmp_path, trainer_callback(stop=True, advice=False)).train()
    assert not caught.value.report.ok
    for a, b in zip(net.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_warns_and_trains_on(tmp_path):
    """By default, it only warns."""
    callback = trainer_callback(advice=False)
    learner = trainer(model(times=1000), tmp_path, callback)
    with pytest.warns(UserWarning, match="initialization is at fault"):
        learner.train()
    assert learner.state.global_step == 3
    assert not callback.report.ok


def test_a_loss_of_ones_own_and_draws_of_a_collator(tmp_path):
    """A loss is passed on; a collator that draws leaves the generators as they were."""

    def collate(examples):
        random.random()  # noqa: S311
        np.random.rand()  # noqa: NPY002
        torch.rand(1)
        return {"input_ids": torch.stack([e["input_ids"] for e in examples])}

    def squares(output):
        return output.logits.square().mean()

    callback = trainer_callback(loss=squares, advice=False)
    learner = trainer(model(), tmp_path, callback)
    learner.data_collator = collate
    learner.callback_handler.train_dataloader = learner.get_train_dataloader()
    before = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    learner.callback_handler.on_train_begin(learner.args, learner.state, learner.control)
    assert callback.report.measurement.loss_name == "squares"
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert (np.random.get_state()[1] == before[2]).all()  # noqa: NPY002


def test_what_cannot_be_checked_trains_on(tmp_path):
    """A model that only the trainer can call is trained all the same."""

    class Sums(hf.Trainer):
        def compute_loss(self, model, inputs, **_):
            return model(input_ids=inputs["words"]).logits.square().mean()

    callback = trainer_callback(stop=True)
    made = trainer(model(), tmp_path)
    made.args.remove_unused_columns = False
    data = [{"words": words} for words in WORDS]
    learner = Sums(model(), made.args, train_dataset=data, callbacks=[callback])
    with pytest.warns(UserWarning, match="the initialization was not checked: ValueError"):
        learner.train()
    assert callback.report is None
    assert learner.state.global_step == 3


def test_goes_on_without_a_check(tmp_path):
    """What has been trained is not judged as if it had not."""
    callback = trainer_callback(stop=True)
    learner = trainer(model(times=1000), tmp_path, callback)
    learner.state.global_step = 2
    learner.callback_handler.on_train_begin(learner.args, learner.state, learner.control)
    assert callback.report is None


def test_travels_to_other_processes():
    """A callback can be pickled, with its settings."""
    callback = pickle.loads(pickle.dumps(trainer_callback(stop=True, seed=3)))  # noqa: S301
    assert isinstance(callback, hf.TrainerCallback)
    assert callback.settings == {"stop": True, "loss": None, "seed": 3, "advice": True}
