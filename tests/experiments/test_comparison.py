"""Comparisons: pairing, the order of runs, workers, what is recorded, and errors."""

import functools
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide import initializers as init
from initguide import randomness
from initguide.experiments import Comparison, compare_init_weights
from initguide.experiments.jobs import running, work
from initguide.training import cores, train


class Small(nn.Module):
    """A small network with dropout."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 12)
        self.fc2 = nn.Linear(12, 10)
        self.dropout = nn.Dropout(0.2)

    def forward(self, images):
        """Scores of the images."""
        return self.fc2(self.dropout(F.relu(self.fc1(images.flatten(1)))))


@pytest.fixture
def compare(made_up):
    """`compare_init_weights` with everything small."""
    defaults = {"model": Small, "epochs": 1, "batch_size": 16, "seeds": 2}
    return lambda schemes, **changes: compare_init_weights(schemes, made_up, **defaults | changes)


def _numbers(result):
    """Everything that a comparison measured, without the times."""
    return [
        (r.label, r.seed, r.train_losses.tolist(), r.valid_loss, r.valid_accuracy, r.test_accuracy)
        for r in result.runs
    ]


def test_runs_stand_in_the_order_given(compare):
    """Scheme by scheme as given, and seed by seed within a scheme as given."""
    result = compare({"B": "ones", "A": "zeros"}, seeds=[5, 2, 9])
    assert [(run.label, run.seed) for run in result.runs] == [
        (label, seed) for label in "BA" for seed in (5, 2, 9)
    ]
    assert result.labels == ("B", "A")
    assert dict(result.schemes) == {"B": "ones()", "A": "zeros()"}
    assert [run.seed for run in result.of("A")] == [5, 2, 9]
    assert result.values("A").tolist() == [run.valid_accuracy for run in result.of("A")]


def test_schemes_are_paired(compare):
    """For one seed, each scheme sees the same images in the same order, and the same masks."""
    result = compare({"first": "he_normal", "again": "kaiming_normal", "other": "lecun_normal"})
    for first, again, other in zip(*(result.of(k) for k in result.labels), strict=True):
        assert np.array_equal(first.train_losses, again.train_losses)
        assert first.valid_loss == again.valid_loss
        assert not np.array_equal(first.train_losses, other.train_losses)


def test_seeds_differ(compare):
    """Two seeds are two weights, two orders, two results."""
    first, second = compare(["he_normal"]).runs
    assert not np.array_equal(first.train_losses, second.train_losses)


def test_one_scheme_does_not_depend_on_the_others(compare):
    """A scheme's runs are the same whatever it is compared with, and with how many seeds."""
    alone = _numbers(compare(["he_normal"], seeds=[1]))
    among = _numbers(compare(["zeros", "he_normal", "sparse"], seeds=3).select("he_normal"))
    assert alone == [among[1]]


def test_a_run_is_what_train_gives(made_up, compare):
    """Each run is a model made and initialized from the seed, then trained with the seed."""
    result = compare({"mine": "xavier_uniform"}, seeds=[4], learning_rate=0.01, epochs=2)
    torch.manual_seed(4)
    model = initguide.initialize(Small(), "xavier_uniform")
    expected = train(
        model, made_up, epochs=2, batch_size=16, learning_rate=0.01, seed=4, label="mine"
    )
    (run,) = result.runs
    # To rounding only: so small a network is trained in a stack.
    np.testing.assert_allclose(run.train_losses, expected.train_losses, rtol=1e-4)
    assert run.valid_loss == pytest.approx(expected.valid_loss, rel=1e-4)
    assert run.test_accuracy == pytest.approx(expected.test_accuracy, abs=0.04)


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_change_nothing(compare, workers):
    """One run at a time or several: the same numbers to the last bit."""
    schemes = ["default", "he_normal", "orthogonal"]
    expected = _numbers(compare(schemes, workers=1, seeds=4))
    for _ in range(5):
        assert _numbers(compare(schemes, workers=workers, seeds=4)) == expected


def test_looking_does_not_disturb_building(compare):
    """While one thread looks for randomness in its model, another's weights stay what they are."""

    # Both use torch's global state; sleeping makes the two overlap for certain.
    class Slow(Small):
        def __init__(self):
            super().__init__()
            time.sleep(0.03)
            self.out = nn.Linear(10, 10)

        def forward(self, images):
            if not torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
                time.sleep(0.04)  # the look
            return self.out(super().forward(images))

    state = torch.get_rng_state()
    expected = _numbers(compare(["default"], model=Slow, workers=1, seeds=4))
    assert _numbers(compare(["default"], model=Slow, workers=4, seeds=4)) == expected
    assert torch.equal(torch.get_rng_state(), state)


def test_real_data_in_parallel(sample):
    """The lesson's network on real images: parallel runs equal single ones, and learn."""
    results = [
        compare_init_weights(["zeros", "he_normal"], sample, epochs=1, seeds=2, workers=workers)
        for workers in (1, 2)
    ]
    assert _numbers(results[0]) == _numbers(results[1])
    zeros, he = results[0].rows()
    assert zeros.mean == pytest.approx(0.1, abs=0.03)
    assert he.mean > 0.6
    assert results[0].data_source == sample.source


@pytest.mark.parametrize("workers", [1, 3])
def test_nothing_global_changes(compare, workers):
    """The number of threads and the global random state are as before; so is the result."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        results = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002  the old global state is what must not be read
            state = torch.get_rng_state()
            results.append(_numbers(compare(["he_normal"], workers=workers, seeds=1)))
            assert torch.equal(torch.get_rng_state(), state)
        assert results[0] == results[1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_several_at_a_time(compare):
    """With two workers, two runs are under way together; with one, never."""
    for workers in (1, 2):
        most = _most_at_once(compare, workers, lambda scores: scores, expected=workers)
        assert most == workers


def _most_at_once(compare, workers, change, *, expected):
    """Train with so many workers; count the most that trained at the same time.

    Whoever trains waits until as many as are expected do, however busy the machine is, and then a
    moment for one that should not be there.
    """
    active, most, lock = set(), [0], threading.Lock()
    enough, too_many = threading.Event(), threading.Event()

    class Counted(Small):
        def forward(self, images):
            if torch.is_grad_enabled():
                with lock:
                    active.add(threading.get_ident())
                    most[0] = max(most[0], len(active))
                    if len(active) >= expected:
                        enough.set()
                    if len(active) > expected:
                        too_many.set()
                # A trial holds the lock of the global generator, for which the others may wait.
                in_trial = randomness._GLOBAL_GENERATOR._is_owned()
                if not in_trial and not enough.wait(60):
                    enough.set()  # it has failed: no other step needs to wait
                too_many.wait(0.01)
            else:
                active.discard(threading.get_ident())  # measured after training
            return change(super().forward(images))

    compare(["zeros"], model=Counted, workers=workers, seeds=3)
    return most[0]


class Noisy(Small):
    """Draws from torch's global generator while it trains."""

    def forward(self, images):
        """Scores, some of them dropped."""
        return F.dropout(super().forward(images), 0.5, self.training)


def test_models_that_draw_run_one_at_a_time(compare):
    """A model that draws from the global generator is not trained beside others, and is right."""

    def drops(scores):
        return scores if torch.is_inference_mode_enabled() else F.dropout(scores, 0.1)

    assert _most_at_once(compare, 3, drops, expected=1) == 1
    expected = _numbers(compare(["he_normal"], model=Noisy, workers=1, seeds=3))
    state = torch.get_rng_state()
    assert _numbers(compare(["he_normal"], model=Noisy, workers=3, seeds=3)) == expected
    with ThreadPoolExecutor(3) as pool:
        assert _numbers(compare(["he_normal"], model=Noisy, executor=pool, seeds=3)) == expected
    assert torch.equal(torch.get_rng_state(), state)


def test_a_real_divergence(compare):
    """Trained with a huge learning rate, runs are shown as diverged and say where."""
    result = compare(["normal", "zeros"], optimizer="sgd", learning_rate=1e30, seeds=2, epochs=3)
    runs = result.of("normal")
    assert all(run.diverged and run.diverged_at is not None for run in runs)
    assert all(not np.isfinite(run.train_losses[-1]) for run in runs)
    assert "2 of 2 diverged" in str(result)


def _saved(result, path):
    result.save(path)
    return Comparison.load(path)


def test_save_and_load(compare, tmp_path):
    """What comes back is what was saved, to the last bit."""
    result = compare({"é <&> \n 名": "he_normal", "B": "zeros"}, learning_rate=0.1)
    again = _saved(result, tmp_path / "result.json")
    assert _numbers(again) == _numbers(result)
    assert [r.seconds for r in again.runs] == [r.seconds for r in result.runs]
    assert again.schemes == result.schemes
    assert again.settings == result.settings
    assert again.data_source == result.data_source
    assert str(again) == str(result)
    assert again._repr_html_() == result._repr_html_()
    assert again.runs[0].train_losses.dtype == np.float32


def _fails_for(seed):
    """Fail as a scheme for one seed: the one that the global generator is seeded with."""

    def scheme(module):  # noqa: ARG001
        if torch.initial_seed() == seed:
            raise RuntimeError("boom")

    return scheme


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_scheme(compare, workers):
    """An exception comes out as it is, with a note that names the scheme and the seed."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(RuntimeError, match=r"^boom") as caught:
        compare({"fine": "zeros", "bad": _fails_for(1)}, workers=workers, seeds=3)
    assert caught.value.__notes__ == ["while training 'bad' with seed 1"]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_an_error_in_the_first_scheme(compare):
    """The first scheme's first seed is named like the others."""
    with pytest.raises(RuntimeError, match=r"^boom") as caught:
        compare({"bad": _fails_for(0), "fine": "zeros"})
    assert caught.value.__notes__ == ["while training 'bad' with seed 0"]


def test_an_error_in_the_model(compare):
    """A model that fails while training: the same, and its layers are put back."""

    class Fails(Small):
        def forward(self, images):
            if torch.is_grad_enabled():
                raise ValueError(f"cannot take {tuple(images.shape)}")
            return super().forward(images)

    with pytest.raises(ValueError, match=r"^cannot take \(16, 1, 28, 28\)") as caught:
        compare({"mine": "zeros"}, model=Fails, seeds=1)
    assert caught.value.__notes__ == ["while training 'mine' with seed 0"]


def _threads_of_ours():
    return [t for t in threading.enumerate() if t.name.startswith("initguide")]


class Endless(Small):
    """Takes its time: 0.02 s a batch."""

    started = threading.Event()

    def forward(self, images):
        """Scores, later."""
        if torch.is_grad_enabled():
            self.started.set()
            time.sleep(0.02)
        return super().forward(images)


def test_an_error_stops_the_others(compare):
    """When one run fails, those under way end soon and those that wait never start."""
    begun = []

    def bad(module):
        if isinstance(module, Small) and torch.initial_seed() == 1:
            raise RuntimeError("boom")
        if isinstance(module, Small):
            begun.append(torch.initial_seed())

    start = time.perf_counter()
    with pytest.raises(RuntimeError, match="boom"):
        # Each run alone would take 200 · 32 · 0.02 = 128 s.
        compare({"x": bad}, model=Endless, workers=2, seeds=20, epochs=200, batch_size=2)
    assert time.perf_counter() - start < 10
    assert len(begun) <= 13  # those of the other worker, one of this, and two to look at first
    assert not _threads_of_ours()


def test_ctrl_c(compare, monkeypatch):
    """Ctrl-C while runs are under way: they end soon, and everything is put back."""

    def interrupted(*_, **__):
        assert Endless.started.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(work.Work, "_next", interrupted)
    Endless.started.clear()
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        compare(["zeros"], model=Endless, workers=2, seeds=9, epochs=200, batch_size=2)
    assert time.perf_counter() - start < 10
    assert not _threads_of_ours()
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_kinds_of_schemes(compare):
    """Names, calls by name, schemes, functions and lambdas do; each is described."""

    def mine(module):
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 0.5)

    schemes = {
        "name": "he_normal",
        "call": "uniform(-0.5, 0.5)",
        "alias": "glorot_normal",
        "scheme": init.normal(0.1),
        "function": mine,
        "partial": functools.partial(_fill, value=0.25),
    }
    result = compare(schemes, seeds=1)
    assert dict(result.schemes) == {
        "name": "he_normal(mode='fan_in', nonlinearity='relu')",
        "call": "uniform(low=-0.5, high=0.5)",
        "alias": "xavier_normal(gain=1.0)",
        "scheme": "normal(std=0.1)",
        "function": "mine",
        "partial": "_fill(value=0.25)",
    }


def _fill(module, value):
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, value)


def test_names_are_their_own_labels(compare):
    """A list of names needs no labels; a generator or tuple of names does too."""
    for names in (
        ["zeros", "normal(0.1)"],
        ("zeros", "normal(0.1)"),
        iter(["zeros", "normal(0.1)"]),
    ):
        assert compare(names, seeds=1).labels == ("zeros", "normal(0.1)")


def test_settings_are_recorded(compare):
    """What the runs have in common is written down, in plain values."""
    result = compare(
        ["zeros"],
        model=functools.partial(initguide.Net, 8, hidden_2=4),
        epochs=2,
        batch_size=32,
        learning_rate=1,
        optimizer=functools.partial(torch.optim.RMSprop, alpha=0.5),
        seeds=[3],
    )
    assert result.settings == {
        "model": "Net(8, hidden_2=4)",
        "epochs": 2,
        "batch_size": 32,
        "optimizer": "RMSprop(alpha=0.5)",
        "learning_rate": 1.0,
        "device": "cpu",
        "seeds": [3],
        "split": "shared",
        "torch": torch.__version__,
    }
    assert type(result.settings["torch"]) is str
    assert compare(["zeros"], seeds=1).settings["model"] == "Small"
    assert compare(["zeros"], seeds=1).data_source == "made up: 134 images"
    json.dumps(result.settings)


def test_a_saved_real_comparison(compare, tmp_path):
    """Settings from a real comparison can be saved, functions too."""
    result = compare(["zeros"], optimizer=torch.optim.Adagrad, model=lambda: Small(), seeds=1)  # noqa: PLW0108
    assert _saved(result, tmp_path / "r.json").settings == result.settings


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [(3, [0, 1, 2]), ([4], [4]), (range(2, 4), [2, 3]), (np.arange(2), [0, 1]), ((7, 1), [7, 1])],
    ids=repr,
)
def test_seeds(compare, seeds, expected):
    """How many, or which."""
    result = compare(["zeros"], seeds=seeds)
    assert result.settings["seeds"] == expected
    assert [run.seed for run in result.runs] == expected
    assert all(type(seed) is int for seed in result.settings["seeds"])


def test_a_count_from_an_array(compare):
    """A number of seeds may be a NumPy integer."""
    assert compare(["zeros"], seeds=np.int64(2)).settings["seeds"] == [0, 1]


def test_no_progress_in_a_file(compare, capfd):
    """Where nobody watches, nothing is printed."""
    compare(["zeros"], seeds=1)
    assert capfd.readouterr() == ("", "")


def test_progress_when_asked_for(compare, capfd):
    """With `progress=True` a bar on standard error counts the runs; with False, never."""
    compare(["zeros", "ones"], seeds=2, progress=True)
    printed = capfd.readouterr()
    assert "4/4" in printed.err
    assert not printed.out
    compare(["zeros"], seeds=1, progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_in_a_terminal(compare, monkeypatch, capfd):
    """In a terminal the bar is shown without being asked for, unless it is refused."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    compare(["zeros"], seeds=1)
    assert "1/1" in capfd.readouterr().err
    compare(["zeros"], seeds=1, progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_in_a_notebook(monkeypatch):
    """A notebook counts as being watched."""
    for shell in (None, SimpleNamespace()):  # IPython is imported, or is the terminal
        ipython = SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        assert not work.somebody_watches()
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel="a kernel"))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    assert work.somebody_watches()


def test_cores(monkeypatch):
    """As many workers as the process may use; as many as there are where that is unknown."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3}, raising=False)
    assert cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_workers_by_default(compare, monkeypatch):
    """Without `workers`, as many runs go on as there are cores."""
    monkeypatch.setattr(running, "cores", lambda: 3)
    assert _most_at_once(compare, None, lambda scores: scores, expected=3) == 3


def test_schemes_in_a_list_are_labelled_by_their_names(compare):
    """A function of one's own in a list has its name for a label, not its address."""

    def mine(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.1)

    assert compare(["zeros", mine], seeds=1).labels == ("zeros", "mine")
