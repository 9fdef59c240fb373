"""Distils a student for your own images, all of one size: FOLDER/train/<class>/*.png and FOLDER/test/<class>/*.png.

    python examples/own_images.py [FOLDER]

Without FOLDER it first writes scikit-learn's digits as such a folder, my-images/. The recipe is own_images.toml, for
any number of classes and any size of images; it trains for a few epochs, so give images of your own more of them.
"""

import sys
from pathlib import Path

import snnkd
from snnkd import recipe
from snnkd.data import datasets

RECIPE = Path(__file__).with_name("own_images.toml")


def write_digits(folder: Path) -> None:
    """Writes train/<class>/<number>.png and test/<class>/<number>.png."""
    from PIL import Image

    digits = datasets.load("digits", validation=0)
    for part, split in (("train", digits.train), ("test", digits.test)):
        for number, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            path = folder / part / digits.classes[label] / f"{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(path)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "my-images")
    if len(sys.argv) == 1 and not folder.exists():
        write_digits(folder)

    images = datasets.load(folder)
    shape, classes = list(images.shape), len(images.classes)
    print(f"{folder}: {len(images.train)} + {len(images.test)} images of shape {shape}, {classes} classes")

    changes = [f"data.set='{folder.resolve()}'"]
    for name, conv in (("teacher", "channels = 16"), ("student", "channels = 4, stride = 2")):
        layers = f'[{{kind = "conv", {conv}, kernel = 3, padding = 1}}, {{kind = "dense", neurons = {classes}}}]'
        changes += [f"networks.{name}.input={shape}", f"networks.{name}.layers={layers}"]
    result = snnkd.train(recipe.load(RECIPE, changes))
    for stage, network in result.networks.items():
        print(f"{stage}: {network.parameters:,} weights, {network.accuracy.integer:.1%} of the test images are right")
    print(f"the student is {result.net}")


if __name__ == "__main__":
    main()
