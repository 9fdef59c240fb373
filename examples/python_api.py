"""The whole chain in Python: trains digits for one epoch a stage, then exports, profiles and hands off the student.

    python examples/python_api.py

writes runs/digits-001/, student.net and bundle.zip into the current folder. One epoch is a quick look: leave the second
argument of `recipe.load` out for a student that is right in about 97 % of the images.
"""

import shutil

import snnkd
from snnkd import recipe


def main() -> None:
    quick = recipe.load("digits", [f"chain.{stage}.epochs=1" for stage in ("teacher", "ta", "student")])
    trained = snnkd.train(quick)
    print(f"{trained.run}: {trained.accuracy.integer:.1%} of {trained.test_images} test images are right")

    shutil.copy(trained.net, "student.net")
    net = snnkd.load("student.net")
    print(f"student.net: {len(net.layers)} layers, {net.neurons} neurons, {net.steps} steps")

    exported = snnkd.export(trained.run)  # runs it in Lava's simulation of Loihi 2
    print(f"{exported.file}: {exported.differences} differences in {exported.compared['spikes']} spikes")

    bundle = snnkd.handoff(trained.run, target="cortex-m4", out="bundle.zip")
    print(f"{bundle.file}: {bundle.bytes.flash:,} bytes of flash, {bundle.bytes.ram:,} of RAM")


if __name__ == "__main__":
    main()
