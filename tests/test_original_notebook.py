"""The original lesson's notebook, all its code cells in order, with the changes that we ask for.

The cells make the calls of the original, in its order, on its names; the words are ours.
"""

import dataclasses
import re
import textwrap

import nbclient
import nbformat
import numpy as np
import pytest

from initguide import data, exercises, helpers
from initguide.data import idx

CELLS = {
    "loads the data": """
        import torch
        import numpy as np
        from torchvision import datasets
        import torchvision.transforms as transforms
        from torch.utils.data.sampler import SubsetRandomSampler

        num_workers = 0
        batch_size = 100
        valid_size = 0.2

        transform = transforms.ToTensor()
        train_data = datasets.FashionMNIST(root='data', train=True,
                                           download=True, transform=transform)
        test_data = datasets.FashionMNIST(root='data', train=False,
                                          download=True, transform=transform)

        num_train = len(train_data)
        indices = list(range(num_train))
        np.random.shuffle(indices)
        split = int(np.floor(valid_size * num_train))
        train_idx, valid_idx = indices[split:], indices[:split]
        train_sampler = SubsetRandomSampler(train_idx)
        valid_sampler = SubsetRandomSampler(valid_idx)

        train_loader = torch.utils.data.DataLoader(train_data, batch_size=batch_size,
            sampler=train_sampler, num_workers=num_workers)
        valid_loader = torch.utils.data.DataLoader(train_data, batch_size=batch_size,
            sampler=valid_sampler, num_workers=num_workers)
        test_loader = torch.utils.data.DataLoader(test_data, batch_size=batch_size,
            num_workers=num_workers)
        classes = ['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat',
            'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot']
    """,
    "shows some images": """
        import matplotlib.pyplot as plt
        %matplotlib inline

        dataiter = iter(train_loader)
        images, labels = dataiter.next()
        images = images.numpy()
        fig = plt.figure(figsize=(25, 4))
        for idx in np.arange(20):
            ax = fig.add_subplot(2, 20/2, idx+1, xticks=[], yticks=[])
            ax.imshow(np.squeeze(images[idx]), cmap='gray')
            ax.set_title(classes[labels[idx]])
    """,
    "defines the network": """
        import torch.nn as nn
        import torch.nn.functional as F

        class Net(nn.Module):
            def __init__(self, hidden_1=256, hidden_2=128, constant_weight=None):
                super(Net, self).__init__()
                self.fc1 = nn.Linear(28 * 28, hidden_1)
                self.fc2 = nn.Linear(hidden_1, hidden_2)
                self.fc3 = nn.Linear(hidden_2, 10)
                self.dropout = nn.Dropout(0.2)
                if(constant_weight is not None):
                    for m in self.modules():
                        if isinstance(m, nn.Linear):
                            nn.init.constant_(m.weight, constant_weight)
                            nn.init.constant_(m.bias, 0)

            def forward(self, x):
                x = x.view(-1, 28 * 28)
                x = F.relu(self.fc1(x))
                x = self.dropout(x)
                x = F.relu(self.fc2(x))
                x = self.dropout(x)
                x = self.fc3(x)
                return x
    """,
    "makes the first two models": """
        model_0 = Net(constant_weight=0)
        model_1 = Net(constant_weight=1)
    """,
    "compares the first two models": """
        import helpers

        model_list = [(model_0, 'All Zeros'),
                      (model_1, 'All Ones')]
        helpers.compare_init_weights(model_list,
                                     'All Zeros vs All Ones',
                                     train_loader,
                                     valid_loader)
    """,
    "draws uniform numbers": """
        helpers.hist_dist('Random Uniform (low=-3, high=3)', np.random.uniform(-3, 3, [1000]))
    """,
    "writes the baseline": """
        def weights_init_uniform(m):
            classname = m.__class__.__name__
            if classname.find('Linear') != -1:
                m.weight.data.uniform_(0.0, 1.0)
                m.bias.data.fill_(0)
    """,
    "applies the baseline": """
        model_uniform = Net()
        model_uniform.apply(weights_init_uniform)
    """,
    "trains the baseline": """
        helpers.compare_init_weights([(model_uniform, 'Uniform Weights')],
                                     'Uniform Baseline',
                                     train_loader,
                                     valid_loader)
    """,
    "writes and applies the centred range": """
        def weights_init_uniform_center(m):
            classname = m.__class__.__name__
            if classname.find('Linear') != -1:
                m.weight.data.uniform_(-0.5, 0.5)
                m.bias.data.fill_(0)

        model_centered = Net()
        model_centered.apply(weights_init_uniform_center)
    """,
    "writes and applies the general rule": """
        def weights_init_uniform_rule(m):
            classname = m.__class__.__name__
            if classname.find('Linear') != -1:
                n = m.in_features
                y = 1.0/np.sqrt(n)
                m.weight.data.uniform_(-y, y)
                m.bias.data.fill_(0)

        model_rule = Net()
        model_rule.apply(weights_init_uniform_rule)
    """,
    "compares the ranges": """
        model_list = [(model_centered, 'Centered Weights [-0.5, 0.5)'),
                      (model_rule, 'General Rule [-y, y)')]
        helpers.compare_init_weights(model_list,
                                     '[-0.5, 0.5) vs [-y, y)',
                                     train_loader,
                                     valid_loader)
    """,
    "draws normal numbers": """
        helpers.hist_dist('Random Normal (mean=0.0, stddev=1.0)', np.random.normal(size=[1000]))
    """,
    "is completed by the learner": """
        def weights_init_normal(m):
            '''Fill every linear layer with normal numbers.'''
            classname = m.__class__.__name__
            if classname.find('Linear') != -1:
                n = m.in_features
                y = (1.0/np.sqrt(n))
                m.weight.data.normal_(0, y)
                m.bias.data.fill_(0)
    """,
    "applies the two rules": """
        model_uniform_rule = Net()
        model_uniform_rule.apply(weights_init_uniform_rule)
        model_normal_rule = Net()
        model_normal_rule.apply(weights_init_normal)
    """,
    "compares the two rules": """
        model_list = [(model_uniform_rule, 'Uniform Rule [-y, y)'),
                      (model_normal_rule, 'Normal Distribution')]
        helpers.compare_init_weights(model_list,
                                     'Uniform vs Normal',
                                     train_loader,
                                     valid_loader)
    """,
    "makes a model as PyTorch does": """
        model_no_initialization = Net()
    """,
    "trains it": """
        model_list = [(model_no_initialization, 'No Weights')]
        helpers.compare_init_weights(model_list,
                                     'No Weight Initialization',
                                     train_loader,
                                     valid_loader)
    """,
}

CHANGES = (
    ("shows some images", "dataiter.next()", "next(dataiter)"),
    ("shows some images", "20/2", "20//2"),
    ("compares the first two models", "import helpers", "from initguide import helpers"),
)


def _code(where, *, changes):
    """A cell of the notebook after some of the changes."""
    code = textwrap.dedent(CELLS[where]).strip()
    for changed, old, new in changes:
        if changed == where:
            assert code.count(old) == 1
            code = code.replace(old, new)
    return nbformat.v4.new_code_cell(code)


def _without(change):
    """Its cell, with all the other changes, which is expected to fail."""
    cell = _code(change[0], changes=[other for other in CHANGES if other != change])
    cell.metadata.tags = ["raises-exception"]
    return cell


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder where `initguide data --torchvision data` was run, and no network."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # refuses whatever asks
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    raw = data.lay_out(tmp_path / "data", source="sample").folder
    # Torchvision turns each image into a picture and back: a fifth of them is enough.
    for file in idx.SAMPLE:
        shape = (file.shape[0] // 5, *file.shape[1:])
        short = dataclasses.replace(file, shape=shape)
        content = (raw / file.name).read_bytes()[len(file.header) :]
        (raw / file.name).write_bytes((short.header + content)[: short.size])
    return tmp_path


def _run(cells, folder):
    """Run a notebook of these cells in a kernel, and return what each of them showed."""
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return [cell.outputs for cell in notebook.cells]


def _printed(outputs):
    return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")


def _figures(outputs):
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(folder):
    """Every cell runs, shows its figure and prints its report; without a change, its cell fails."""
    cells = [_code(where, changes=CHANGES) for where in CELLS]
    shown = _run([*cells, *map(_without, CHANGES)], folder)
    outputs = dict(zip(CELLS, shown, strict=False))
    failures = [o.ename for cell in shown[len(CELLS) :] for o in cell if o.output_type == "error"]
    assert failures == ["AttributeError", "ValueError", "ModuleNotFoundError"]
    reports = {
        "compares the first two models": ["All Zeros", "All Ones"],
        "trains the baseline": ["Uniform Weights"],
        "compares the ranges": ["Centered Weights [-0.5, 0.5)", "General Rule [-y, y)"],
        "compares the two rules": ["Uniform Rule [-y, y)", "Normal Distribution"],
        "trains it": ["No Weights"],
    }
    drawn = {*reports, "shows some images", "draws uniform numbers", "draws normal numbers"}
    assert {where for where in CELLS if _figures(outputs[where])} == drawn
    losses = {}
    for where, labels in reports.items():
        accuracy, loss = _printed(outputs[where]).split("Training Loss\n")
        assert accuracy.startswith("After 2 Epochs:\nValidation Accuracy\n")
        assert re.findall(r"^ +[\d.]+% -- (.+)$", accuracy, re.MULTILINE) == labels
        found = re.findall(r"^ +([\d.]+)  -- (.+)$", loss, re.MULTILINE)
        assert [label for _, label in found] == labels
        losses |= {label: float(number) for number, label in found}
    assert 2.1 < losses["All Zeros"] < 2.5  # about the logarithm of ten
    assert losses["All Ones"] > 100
    assert losses["General Rule [-y, y)"] < 2.1


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change[1])
def test_each_change_is_said(change):
    """`helpers` names it, in the row of its cell."""
    where, old, new = change
    row = rf"{where} +``{re.escape(old)}`` +``{re.escape(new)}``"
    assert len(re.findall(rf"^{row}$", helpers.__doc__, re.MULTILINE)) == 1


def test_no_other_change_is_said():
    """The table has a row for each change, and no more."""
    assert len(re.findall(r"^(?:shows|compares) ", helpers.__doc__, re.MULTILINE)) == len(CHANGES)


def test_the_learner_s_function_can_be_graded():
    """The exercise of the notebook is one of ours."""
    names = {"np": np}
    code = textwrap.dedent(CELLS["is completed by the learner"])
    exec(code, names)  # noqa: S102  a cell of the notebook
    assert 'exercises.check("normal", weights_init_normal)' in helpers.__doc__
    table = exercises.check("normal", names["weights_init_normal"])
    assert table.caption == "normal: right"
    exec(code.replace("1.0/np.sqrt(n)", "1.0/n"), names)  # noqa: S102
    with pytest.raises(exercises.WrongAnswerError, match="this is the variance"):
        exercises.check("normal", names["weights_init_normal"])
