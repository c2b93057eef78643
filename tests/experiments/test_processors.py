"""Workers of another kind of processor, which share a home and so the cache of compiled steps."""

import json
import shutil
import sys
from pathlib import Path

import pytest

WORKING = """
import hashlib, json, os, sys
from pathlib import Path
from types import SimpleNamespace

def work(folder, told):
    os.environ |= {"XDG_CACHE_HOME": folder, "INITGUIDE_CC": f"{folder}/cc"}
    import torch
    import initguide

    data = SimpleNamespace()
    for part in ("train", "valid", "test"):
        labels = torch.arange(64) % 10
        images = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        setattr(data, part, SimpleNamespace(images=images, labels=labels))
    result = initguide.sweep({"hidden_1": [16]}, data, seeds=1, epochs=1, workers=1)
    maps = Path("/proc/self/maps").read_text().splitlines()
    loaded = []
    for line in maps:  # the code itself, wherever it was loaded from
        if "r-xp" in line and (folder in line or "memfd:initguide" in line):
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            with open("/proc/self/mem", "rb") as memory:
                memory.seek(start)
                loaded.append(hashlib.sha256(memory.read(end - start)).hexdigest())
    (run,) = result.runs
    Path(told).write_text(json.dumps([loaded, run.trained_by, run.valid_loss]))
"""
INFO = Path("/proc/cpuinfo")
REAL = shutil.which("cc") or shutil.which("gcc")


@pytest.fixture
def shared(context, tmp_path, monkeypatch):
    """Function that lets a worker with some of this processor's features do a run."""
    if REAL is None or not INFO.exists() or " avx512f " not in INFO.read_text(encoding="utf-8"):
        pytest.skip("needs a C compiler, and a processor with AVX-512 to do without it")
    (tmp_path / "working.py").write_text(WORKING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "working", raising=False)
    import working

    def work(without):
        # Like the compiler of a machine whose processor lacks these.
        script = tmp_path / "cc"
        script.write_text(f'#!/bin/sh\nexec {REAL} "$@" {without}\n')
        script.chmod(0o700)
        told = tmp_path / "told"
        process = context.Process(target=working.work, args=(str(tmp_path), str(told)))
        process.start()
        process.join()
        return json.loads(told.read_text())

    yield work
    sys.modules.pop("working", None)


@pytest.mark.slow
@pytest.mark.fault(
    "cluster",
    tried="workers with and without AVX-512 share a home folder, and so a cache",
    happens="each compiles and loads its own library; that of the other is never loaded",
)
def test_workers_with_and_without_avx512(shared):
    """Which library is loaded follows from the processor that looks for it."""
    (wide,), _, loss = shared("")
    (narrow,), _, same = shared("-mno-avx512f")
    assert wide != narrow
    assert abs(loss - same) < 1e-3 * loss
    assert shared("")[0] == [wide]
    assert shared("-mno-avx512f")[0] == [narrow]


@pytest.mark.fault(
    "cluster",
    tried="a worker's processor has not even AVX2, and the cache holds a library for AVX-512",
    happens="it loads none, trains by PyTorch's steps, and the row says so",
)
def test_a_worker_without_vectors(shared):
    """What is in the cache is not looked at."""
    _, compiled, _ = shared("")
    loaded, plain, _ = shared("-mno-avx2 -mno-avx512f")
    assert not loaded
    assert compiled != plain
