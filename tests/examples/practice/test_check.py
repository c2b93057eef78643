"""What examples/practice/plot_1_check_your_network.py concludes, at reduced size."""

import json
import math

import pytest
import torch
from torch import nn

import initguide
from initguide import propagation, theory
from initguide.models import Classifier

STEPS = [
    ("inputs", "inputs"),
    ("equal-units", "conv2"),
    ("dead-units", "project"),
    ("vanishing-signal", "body.0"),
]


def run(advice, model, inputs):
    """Execute advice as if pasted; return the inputs that it leaves."""
    names = {"model": model, "inputs": inputs, "torch": torch, "initguide": initguide}
    exec(advice, names)  # noqa: S102  the advice of our own report
    return names["inputs"]


@pytest.fixture(scope="module")
def course(sample):
    """Return the reports up to the clean one, the repairs, the inputs, the labels, the model."""
    inputs, labels = 255 * sample.train.images[:200], sample.train.labels[:200]
    torch.manual_seed(0)
    model = Classifier()
    reports, repairs = [initguide.check_init(model, inputs, labels)], []
    while not reports[-1].ok and len(repairs) < 8:
        repairs.append(reports[-1].findings[0])
        inputs = run(repairs[-1].advice, model, inputs)
        reports.append(initguide.check_init(model, inputs, labels))
    return reports, repairs, inputs, labels, model


def test_five_findings_five_pieces_of_advice_a_clean_report(course):
    """The first findings name the five faults, and their advice clears them."""
    reports, repairs, *_ = course
    assert [(m.code, m.layer) for m in repairs[:4]] == STEPS
    assert repairs[4].code in ("exploding-signal", "initial-loss")
    assert repairs[4].layer == "head"
    assert len(repairs) == 5
    assert [report.ok for report in reports] == [False] * 5 + [True]
    assert reports[-1].findings == ()
    assert json.loads(reports[-1].to_json())["ok"] is True


def test_one_fault_hides_another(course):
    """Huge inputs hid dead units, and the stack that lets nothing through hid a loud head."""
    reports, *_ = course
    found = [{(f.code, f.layer) for f in report.findings} for report in reports]
    assert ("dead-units", "project") not in found[0]
    assert ("dead-units", "project") in found[1]
    assert not any(layer == "head" for report in found[:4] for _, layer in report)
    assert any(layer == "head" for _, layer in found[4])
    assert all(f.severity == "warning" for f in reports[0].findings)
    assert any(f.severity == "error" for f in reports[1].findings)


def test_the_fourth_advice_is_narrow(course):
    """One line for each layer of the stack, and none for the head."""
    _, repairs, *_ = course
    lines = repairs[3].advice.splitlines()
    assert len(lines) == 5
    assert all(f'"body.{i}"' in line for i, line in enumerate(lines))


def test_signal_falls_as_predicted_before_and_keeps_its_size_after(course, sample):
    """Theory predicts both courses of the signal from the weights alone."""
    _, _, inputs, _, repaired = course
    torch.manual_seed(0)
    raw = 255 * sample.train.images[:200]
    sizes = {}
    for label, model, batch in (("as written", Classifier(), raw), ("repaired", repaired, inputs)):
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
    _, _, inputs, labels, model = course
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    assert initguide.check_init(model, inputs, labels[order]).ok


def test_the_exercise(course):
    """A body of std 1 explodes, and the first advice mends that."""
    *_, inputs, labels, _ = course
    torch.manual_seed(0)
    model = Classifier()
    for repair in course[1][1:]:
        run(repair.advice, model, inputs)
    for layer in model.body:
        nn.init.normal_(layer.weight, std=1.0)
    report = initguide.check_init(model, inputs, labels)
    assert {f.code for f in report.findings} & {"exploding-signal", "initial-loss"}
    run(report.findings[0].advice, model, inputs)
    assert initguide.check_init(model, inputs, labels).ok


@pytest.mark.slow
def test_repairs_pay_together_and_the_first_alone_makes_it_worse(course, sample):
    """All repairs together pay; the first alone does not; a huge rate fails all the same."""
    _, repairs, *_ = course

    def repaired_but(skipped=None, last=5):
        def scheme(module):
            if isinstance(module, Classifier):
                for number, repair in enumerate(repairs[1:last], start=2):
                    if number != skipped:
                        run(repair.advice, module, None)

        return scheme

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
            "first alone": repaired_but(last=1),
            "all": repaired_but(),
            "dead": repaired_but(3),
            "stack": repaired_but(4),
        },
        scaled,
    )
    assert after["all"].min() > 0.6
    assert after["all"].mean() > before.mean() + 0.08
    assert after["first alone"].max() < 0.2
    assert before.mean() > after["first alone"].mean() + 0.1
    assert after["dead"].mean() < after["all"].mean() - 0.15
    assert after["stack"].mean() < after["all"].mean() - 0.15
    fast = train({"all": repaired_but()}, scaled, seeds=1, learning_rate=0.1)["all"]
    assert fast.max() < 0.3
