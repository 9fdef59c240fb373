"""A CNN in torch, trained on 8x8 digits: python cnn.py writes cnn.pt.

A model is a module, or a function that makes one: build(). It gets images (N, 1, 8, 8), float32 in [0, 1], and gives
logits (N, 10).
"""

import sys

import torch

from snnkd.data import datasets


def build() -> torch.nn.Module:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(1024, 10),
    )  # fmt: skip


if __name__ == "__main__":
    torch.manual_seed(0)
    data, model, epochs = datasets.load("digits"), build(), int(sys.argv[1]) if sys.argv[1:] else 6
    images, labels = torch.from_numpy(data.train.images) / 255, torch.from_numpy(data.train.labels)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    torch.save(model.state_dict(), "cnn.pt")
