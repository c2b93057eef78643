"""Notes on tensors are true or gone."""

import torch

from initguide.products import TensorNotes


def test_notes_are_of_one_tensor_in_one_version():
    """Not of an equal tensor, a view of it, what is no tensor, or the same one after a change."""
    notes, x = TensorNotes(), torch.zeros(3)
    assert notes.read(x) is None
    notes.write(x, "zeros")
    assert notes.read(x) == "zeros"
    for other in (x.clone(), x[:], None, 3):
        assert notes.read(other) is None
    x[0] = 1
    assert notes.read(x) is None
    notes.write(x, "one and zeros")
    assert notes.read(x) == "one and zeros"
    notes.clear()
    assert notes.read(x) is None


def test_an_id_that_is_given_again_has_no_note(monkeypatch):
    """A tensor is not held, and a new one in its place is another one."""
    notes, x = TensorNotes(), torch.zeros(3)
    notes.write(x, "gone")
    (entry,) = notes._entries.values()
    del x
    assert entry.tensor() is None
    y = torch.zeros(3)
    monkeypatch.setitem(notes._entries, id(y), entry)
    assert notes.read(y) is None
