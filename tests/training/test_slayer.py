"""The containers that stand in for lava-dl's blocks: the same names, state, numbers and files."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from snnkd.training import containers
from snnkd.training.neuron import Neuron

pytestmark = [pytest.mark.training, pytest.mark.smoke]

PARAMETERS = {"threshold": 1.3, "current_decay": 0.25, "voltage_decay": 0.03, "tau_grad": 0.1, "scale_grad": 2.0}
BLOCKS = {
    "dense": ("Dense", (12, 7), {}, (12,)),
    "conv": ("Conv", (2, 4, 3), {}, (2, 8, 7)),
    "conv, all options": (
        "Conv",
        (4, 6, (3, 5)),
        {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2},
        (4, 9, 11),
    ),
}


def built(module, name):
    kind, sizes, options, _ = BLOCKS[name]
    torch.manual_seed(5)
    block = getattr(module, kind)(PARAMETERS, *sizes, delay_shift=False, **options)
    return block, torch.rand(1)  # what is drawn next shows how many numbers the block has drawn


def ready(block):
    """Large weights and snnkd's neuron, which is what a training puts there."""
    block.neuron = Neuron(**PARAMETERS)
    block.synapse.pre_hook_fx = block.neuron.quantize_8bit
    with torch.no_grad():
        block.synapse.weight.mul_(5)
    return block


def exported(block, path):
    with h5py.File(path, "w") as file:
        block.export_hdf5(file.create_group("layer"))
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda key, item: found.update({key: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.lava
@pytest.mark.parametrize("name", BLOCKS)
def test_a_container_is_the_block_of_lava_dl(name, tmp_path):
    from lava.lib.dl.slayer.block import cuba

    (ours, our_next), (theirs, their_next) = built(containers, name), built(cuba, name)
    assert our_next == their_next
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key
    assert {key: int(value) for key, value in ours.neuron.device_params.items() if key != "type"} == {
        key: int(value) for key, value in theirs.neuron.device_params.items() if key != "type"
    }
    x = (torch.rand(3, *BLOCKS[name][-1], 6) < 0.5).float()
    spikes = [ready(block)(x) for block in (ours, theirs)]
    assert torch.equal(*spikes) and 0 < spikes[0].mean() < 1
    for made in spikes:
        (made * torch.linspace(-1, 1, made.numel()).view_as(made)).sum().backward()
    assert torch.equal(ours.synapse.weight.grad, theirs.synapse.weight.grad) and ours.synapse.weight.grad.any()
    mine, lava_dls = exported(ours, tmp_path / "ours.net"), exported(theirs, tmp_path / "theirs.net")
    assert mine.keys() == lava_dls.keys()
    for key, value in lava_dls.items():
        np.testing.assert_array_equal(mine[key], value, err_msg=key)


@pytest.mark.lava
def test_flatten_is_that_of_lava_dl():
    from lava.lib.dl.slayer.block import cuba

    x = torch.rand(2, 3, 4, 5, 6)
    assert torch.equal(containers.Flatten()(x), cuba.Flatten()(x))


@pytest.mark.lava
def test_constants_and_the_neuron_are_those_of_lava_dl():
    from lava.lib.dl.slayer.neuron import cuba

    assert (containers.TAU_RHO_MULT, containers.SCALE_RHO_MULT) == (cuba.TAU_RHO_MULT, cuba.SCALE_RHO_MULT)
    for threshold, decay in ((0.99, 0.0), (1.5, 1.0), (3.217, 1.7), (0.02, -1.0)):
        ours, theirs = (kind(threshold, decay, decay / 3, 0.3, 4.0) for kind in (containers.Neuron, cuba.Neuron))
        assert (ours.tau_rho, ours.scale_rho, ours.p_scale, ours.s_scale) == (
            theirs.tau_rho,
            theirs.scale_rho,
            theirs.p_scale,
            theirs.s_scale,
        )
        assert torch.equal(ours.current_decay, theirs.current_decay)
        assert torch.equal(ours.voltage_decay, theirs.voltage_decay)


@pytest.mark.parametrize("kind, sizes", [("Dense", (4, 2)), ("Conv", (1, 2, 3))])
def test_what_has_no_integer_form_is_refused(kind, sizes):
    with pytest.raises(ValueError, match="delay_shift"):
        getattr(containers, kind)(PARAMETERS, *sizes)


TRAINING = """
import sys
if sys.argv[1] == "without":
    sys.modules["lava.lib.dl"] = None
import snnkd
from snnkd import recipe
from snnkd.training import slayer
print(slayer.Dense.__module__.split(".")[0])
short = [f"chain.{stage}.epochs=1" for stage in ("teacher", "ta", "student")]
snnkd.train(recipe.load("digits", short), snnkd.TrainingOptions(folder=sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.lava
def test_a_training_without_lava_dl_gives_the_same_network(tmp_path: Path):
    """Teacher, assistant and student of the recipe digits, by their files."""
    package = str(Path(containers.__file__).parents[2])
    made = {}
    for way, source in (("with", "lava"), ("without", "snnkd")):
        child = subprocess.run(
            [sys.executable, "-c", TRAINING, way, str(tmp_path / way)],
            env=os.environ | {"PYTHONPATH": package},
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.returncode == 0, child.stderr
        assert child.stdout.splitlines()[0] == source
        made[way] = (tmp_path / way / "digits-001" / "student.net").read_bytes()
    assert made["with"] == made["without"]
