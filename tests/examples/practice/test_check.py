"""What examples/practice/plot_1_check_your_network.py concludes, at reduced size."""

import json
import math

import pytest
import torch
from torch import nn

import initguide
from initguide import propagation, theory
from initguide.models import Classifier

LAYERS = ("conv2", "project", "body", "head")


def run(advice, model, inputs):
    """Execute advice as if pasted; return the inputs that it leaves."""
    names = {"model": model, "inputs": inputs, "torch": torch, "initguide": initguide}
    exec(advice, names)  # noqa: S102  the advice of our own report
    return names["inputs"]


def repaired(*layers):
    """Return what repairs some layers of the network, as the page does."""

    def scheme(module):
        if isinstance(module, Classifier):
            for name in layers:
                kind = "lecun_normal" if name == "head" else "he_normal"
                initguide.initialize(getattr(module, name), kind, bias="fill")

    return scheme


@pytest.fixture(scope="module")
def course(sample):
    """Return the reports up to the clean one, the inputs, the labels, the model."""
    inputs, labels = 255 * sample.train.images[:200], sample.train.labels[:200]
    torch.manual_seed(0)
    model = Classifier()
    reports = [initguide.check_init(model, inputs, labels)]
    while not reports[-1].ok and len(reports) < 5:
        inputs = run(reports[-1].advice, model, inputs)
        reports.append(initguide.check_init(model, inputs, labels))
    return reports, inputs, labels, model


def test_the_advice_leads_to_a_clean_report(course):
    """What all reports print names the five faults, and clears them."""
    reports, *_ = course
    assert 3 <= len(reports) <= 4
    assert reports[-1].ok
    assert reports[-1].findings == ()
    assert json.loads(reports[-1].to_json())["ok"] is True
    code = "\n".join(report.advice for report in reports[:-1])
    assert "inputs = (inputs - inputs.mean()) / inputs.std()" in code
    assert all(f'"{name}"' in code for name in ("conv2", "project", "body.0", "body.4", "head"))
    assert reports[0].findings[0].layer == "inputs"


def test_one_fault_hides_another(course):
    """Huge inputs hid a dead layer, and the stack that lets nothing through hid a loud head."""
    reports, *_ = course
    assert all(f.severity == "warning" for f in reports[0].findings)
    alone, *_, kept = reports[0].findings[0].tried
    assert "brings to light" in alone.outcome
    assert kept.kept
    assert "project" in kept.code
    assert not any(f.layer == "head" for f in reports[0].findings)
    assert any(f.layer == "head" for report in reports[1:] for f in report.findings)


def test_advice_for_the_body_is_narrow(course):
    """One line for the layers of the stack, and none for the head."""
    reports, *_ = course
    assert "for name in (" in reports[0].advice
    assert all(f'"body.{i}"' in reports[0].advice for i in range(5))
    assert "head" not in reports[0].advice


def test_signal_falls_as_predicted_before_and_keeps_its_size_after(course, sample):
    """Theory predicts both courses of the signal from the weights alone."""
    _, inputs, _, mended = course
    torch.manual_seed(0)
    raw = 255 * sample.train.images[:200]
    sizes = {}
    for label, model, batch in (("as written", Classifier(), raw), ("repaired", mended, inputs)):
        found = propagation.measure(model, batch)
        predicted = [float(p) for p in theory.predict_variances(model, batch)]
        sizes[label] = [record.output_second_moment for record in found]
        assert math.isnan(predicted[1]) == (label == "as written")  # equal weights in conv2
        for measured, expected in zip(sizes[label], predicted, strict=True):
            if not math.isnan(expected):
                assert expected / 10 < measured < expected * 10
    assert sizes["as written"][-2] < 1e-8 * sizes["as written"][0]
    assert 0.05 < min(sizes["repaired"]) < max(sizes["repaired"]) < 20


def test_a_clean_report_does_not_see_the_labels(course):
    """With labels shuffled, the report is clean all the same."""
    _, inputs, labels, model = course
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    assert initguide.check_init(model, inputs, labels[order]).ok


def test_the_exercise(course):
    """A body of std 1 explodes, and the first advice mends that."""
    _, inputs, labels, _ = course
    torch.manual_seed(0)
    model = Classifier()
    repaired(*LAYERS)(model)
    for layer in model.body:
        nn.init.normal_(layer.weight, std=1.0)
    report = initguide.check_init(model, inputs, labels)
    assert {f.code for f in report.findings} & {"exploding-signal", "initial-loss"}
    run(report.advice, model, inputs)
    assert initguide.check_init(model, inputs, labels).ok


@pytest.mark.slow
def test_repairs_pay_together_and_the_first_alone_makes_it_worse(sample):
    """All repairs together pay; the first alone does not; a huge rate fails all the same."""
    data = sample.subset(train=3000, valid=1000, test=100)
    raw = data.transformed(lambda x: 255 * x, "bytes")
    mean, std = raw.train.images.mean(), raw.train.images.std()
    scaled = raw.transformed(lambda x: (x - mean) / std, "standardized")

    def train(schemes, images, **settings):
        found = initguide.compare_init_weights(
            schemes, images, model=Classifier, epochs=2, **({"seeds": 2} | settings)
        )
        return {label: found.values(label) for label in schemes}

    before = train({"as written": lambda _: None}, raw)["as written"]
    after = train(
        {
            "first alone": repaired(),
            "all": repaired(*LAYERS),
            "dead": repaired("conv2", "body", "head"),
            "stack": repaired("conv2", "project", "head"),
        },
        scaled,
    )
    assert after["all"].min() > 0.6
    assert after["all"].mean() > before.mean() + 0.08
    assert after["first alone"].max() < 0.2
    assert before.mean() > after["first alone"].mean() + 0.1
    assert after["dead"].mean() < after["all"].mean() - 0.15
    assert after["stack"].mean() < after["all"].mean() - 0.15
    fast = train({"all": repaired(*LAYERS)}, scaled, seeds=1, learning_rate=0.1)["all"]
    assert fast.max() < 0.3
