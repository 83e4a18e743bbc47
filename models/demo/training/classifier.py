"""The judge of concepts: a small classifier trained on renders only, and frozen before the model is judged.

What it is: a convolutional network over the card's concepts. It sees renders of the objects, painted or not,
on plain backgrounds, with augmentations of its own (moves, turns, blur, noise, contrast), never a picture
that the demo model made.
What it is not: part of the demo model or of its training.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from compose import BACKGROUNDS, COLOURS, Composer

SIDE = 64
PAINTED = 3


class Classifier(nn.Module):
    """64x64 RGB in 0..1 to one score a concept."""

    def __init__(self, concepts):
        super().__init__()
        layers, inputs = [nn.Conv2d(3, 32, 5, stride=2, padding=2), nn.BatchNorm2d(32), nn.ReLU()], 32
        for outputs in (64, 128, 192):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(192 * 16, concepts))

    def forward(self, pictures):
        return self.head(self.features(pictures - 0.5))


def render_bank(composer):
    """RGBA renders of every concept in every style, plain and painted, with their concept numbers."""
    pictures, labels = [], []
    for concept in range(len(composer.names)):
        for style in np.flatnonzero(composer.filled[concept]):
            colours = [None]
            if composer.recolourable(concept, style):
                colours += list(composer.random.choice(list(COLOURS), PAINTED, replace=False))
            for colour in colours:
                picture = composer.object_picture(concept, style, colour).resize((SIDE, SIDE), Image.Resampling.BOX)
                pictures.append(np.asarray(picture))
                labels.append(concept)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), torch.tensor(labels)


def on_backgrounds(renders, augment):
    """Renders (N, 4, 64, 64) in 0..1 moved, turned and laid on plain backgrounds; blurred and noisy if asked."""
    count = len(renders)
    size = torch.empty(count).uniform_(0.65, 0.9) if augment else torch.full((count,), 0.8)
    turn = torch.randn(count) * (0.12 if augment else 0.0)
    move = torch.randn(count, 2) * (0.1 if augment else 0.0)
    cosine, sine = turn.cos() / size, turn.sin() / size
    matrix = torch.stack([torch.stack([cosine, -sine, move[:, 0]], 1), torch.stack([sine, cosine, move[:, 1]], 1)], 1)
    premultiplied = torch.cat([renders[:, :3] * renders[:, 3:], renders[:, 3:]], 1)
    moved = F.grid_sample(premultiplied, F.affine_grid(matrix, premultiplied.shape, align_corners=False),
                          align_corners=False)
    choices = torch.tensor(list(BACKGROUNDS.values()), dtype=torch.float32) / 255
    back = choices[torch.randint(len(choices), (count,))]
    back[torch.rand(count) < 0.4] = 1.0
    pictures = moved[:, :3] + back[:, :, None, None] * (1 - moved[:, 3:])
    if augment:
        blurred = F.interpolate(F.avg_pool2d(pictures, 2), scale_factor=2, mode="bilinear")
        blurrier = F.interpolate(F.avg_pool2d(pictures, 4), scale_factor=4, mode="bilinear")
        draw = torch.rand(count, 1, 1, 1)
        pictures = torch.where(draw < 0.3, blurred, torch.where(draw < 0.5, blurrier, pictures))
        contrast = torch.empty(count, 1, 1, 1).uniform_(0.75, 1.25)
        pictures = (pictures - 0.5) * contrast + 0.5 + 0.05 * torch.randn(count, 3, 1, 1)
        pictures = pictures + torch.rand(count, 1, 1, 1) * 0.1 * torch.randn_like(pictures)
    return pictures.clamp(0, 1)


def load_classifier(path):
    """The frozen classifier and the number of its concepts."""
    weights = torch.load(path, weights_only=True)
    model = Classifier(len(weights["head.2.bias"]))
    model.load_state_dict(weights)
    return model.eval()


@torch.no_grad()
def top_five(model, pictures):
    """Numbers of the five likeliest concepts of uint8 pictures (N, H, W, 3)."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    x = F.interpolate(x, size=(SIDE, SIDE), mode="area")
    return model(x).topk(5).indices.numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=Path, default=Path("objects.npz"))
    parser.add_argument("--concepts", type=int, help="as in training")
    parser.add_argument("--out", type=Path, default=Path("classifier.pt"))
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args()
    torch.manual_seed(3)
    torch.set_num_threads(1)
    composer = Composer(options.objects, seed=3, concepts=options.concepts)
    renders, labels = render_bank(composer)
    model = Classifier(len(composer.names)).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, options.steps)
    began = time.time()
    for step in range(options.steps):
        chosen = torch.randint(len(labels), (64,))
        loss = F.cross_entropy(model(on_backgrounds(renders[chosen].float() / 255, True)), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 250 == 0:
            print(f"step {step} loss {loss.item():.3f} seconds {time.time() - began:.0f}", flush=True)
    torch.save(model.eval().state_dict(), options.out)
    with torch.no_grad():
        clean = torch.cat([model(on_backgrounds(part.float() / 255, False)) for part in renders.split(200)])
    hits = (clean.topk(5).indices == labels[:, None])
    print(f"{len(composer.names)} concepts, {len(labels)} clean renders: top-1 {hits[:, 0].float().mean():.4f}, "
          f"top-5 {hits.any(1).float().mean():.4f}, chance of top-5 {5 / len(composer.names):.4f}")


if __name__ == "__main__":
    main()
