"""Checkpoints: a file in which anything has changed is refused, one of an earlier version is read."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from snnkd.errors import FormatError, MismatchError, SnnkdWarning
from snnkd.training import checkpoint
from snnkd.training.reuse import take_over


@pytest.fixture
def saved(tmp_path):
    """A checkpoint, and a network like the one in it."""
    torch.manual_seed(1)
    network = torch.nn.Linear(5, 3)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(5)).sum().backward()
    optimizer.step()
    path = tmp_path / "old" / "checkpoints" / "teacher.safetensors"
    progress = checkpoint.Progress("key", epoch=2, history=[{"epoch": 1}, {"epoch": 2}])
    checkpoint.save(path, progress, network, network.state_dict(), optimizer)
    return path, network


def test_no_bit_changes_without_a_word(saved):
    path, network = saved
    data = path.read_bytes()
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    refused = 0
    for bit in np.random.default_rng(0).choice(len(data) * 8, 600, replace=False).tolist():
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            progress, best = checkpoint.load(path, "key", network)
        except (FormatError, MismatchError) as error:
            assert str(error).startswith(f"{path}: ")
            refused += 1
            continue
        assert (progress.epoch, len(progress.history)) == (2, 2)
        assert all(torch.equal(best[name], value) for name, value in expected.items())
    assert refused > 500  # what is left are spaces between the parts of the header


def test_a_checkpoint_of_before_has_no_digest_and_is_read(saved):
    path, network = saved
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert len(metadata["sha256"]) == 64 and json.loads(metadata["progress"])["epoch"] == 2
    save_file(load_file(path), path, metadata={"progress": metadata["progress"]})
    assert checkpoint.load(path, "key", network)[0].epoch == 2
    save_file(load_file(path), path, metadata={"progress": metadata["progress"], "sha255": metadata["sha256"]})
    with pytest.raises(FormatError, match="delete it to train this stage again"):
        checkpoint.load(path, "key", network)


def test_reuse_passes_over_a_damaged_one(saved, tmp_path):
    path, _ = saved
    new = tmp_path / "new" / "checkpoints" / path.name
    assert take_over(new, "key", 2, tmp_path) == tmp_path / "old"
    new.unlink()
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    with pytest.warns(SnnkdWarning, match="--reuse passes over it: .*damaged checkpoint"):
        assert take_over(new, "key", 2, tmp_path) is None
    assert not new.exists()
