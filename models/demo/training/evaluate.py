"""Measures how often pictures show the asked concept and the asked colour.

What it is: four commands. `captions` writes the fixed list of 200 trained and 100 held-out captions as JSON
({file, caption, concept, colour, held_out} each); `draw` has the impasto program draw them into a folder, `sample`
PyTorch; `score` judges a folder of PNGs, and with --ceiling the true pictures of the same captions.
What it is not: the judge's training (classifier.py), or a measure of beauty.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from classifier import load_classifier, top_five
from compose import BACKGROUNDS, COLOURS, Composer, held_out, with_article
from contact_sheet import draw
from models import TextConfig
from sampling import load_model, sample
from tokenizer import Tokenizer

TRAINED, HELD_OUT = 200, 100


def make_captions(composer):
    """The fixed list: one painted object each, half of them on a named background; pairs come again if too few."""
    pairs = [(c, colour) for c in range(len(composer.names)) if composer.recolourable(c, 0) for colour in COLOURS]
    composer.random.shuffle(pairs)
    chosen = {False: [], True: []}
    for concept, colour in pairs:
        chosen[held_out(composer.names[int(concept)][0], colour)].append((int(concept), str(colour)))
    entries = []
    for kind, limit in ((False, TRAINED), (True, HELD_OUT)):
        for concept, colour in itertools.islice(itertools.cycle(chosen[kind]), limit):
            background = "white" if colour != "white" else "blue"
            if len(entries) % 2 or colour == "white":
                background = composer.pick([b for b in BACKGROUNDS if b not in (colour, "white")])
            words = "" if background == "white" else f" on {with_article(background)} background"
            name = composer.names[concept][0]
            entries.append({"file": f"{len(entries):03}.png", "caption": with_article(f"{colour} {name}") + words,
                            "concept": name, "colour": colour, "background": str(background), "held_out": kind})
    return entries


def nearest_colours(pixels):
    """Index into COLOURS for each RGB pixel: by lightness and chroma first, then by hue."""
    rgb = pixels.reshape(-1, 3).astype(np.float32) / 255
    anchors = np.array(list(COLOURS.values()), np.float32) / 255

    def features(x):
        light = x @ np.array([0.3, 0.5, 0.2], np.float32)
        chroma = np.stack([x[:, 0] - x[:, 1], (x[:, 0] + x[:, 1]) / 2 - x[:, 2]], 1)
        return np.concatenate([0.8 * light[:, None], chroma], 1)

    return ((features(rgb)[:, None] - features(anchors)[None]) ** 2).sum(-1).argmin(1)


def dominant_colour(picture):
    """The named colour that most of the object's pixels are nearest to; None where there is no object.

    The background is the median of the border; the object is what differs from it.
    """
    border = np.concatenate([picture[:4].reshape(-1, 3), picture[-4:].reshape(-1, 3),
                             picture[:, :4].reshape(-1, 3), picture[:, -4:].reshape(-1, 3)])
    background = np.median(border, axis=0)
    different = np.abs(picture.astype(np.int32) - background).max(-1) > 48
    if different.sum() < 100:
        return None
    counts = np.bincount(nearest_colours(picture[different]), minlength=len(COLOURS))
    return list(COLOURS)[counts.argmax()]


def true_picture(composer, entry):
    """What the caption asks for, composed."""
    names = [names[0] for names in composer.names]
    canvas = composer.background(entry["background"])
    picture = composer.object_picture(names.index(entry["concept"]), 0, entry["colour"])
    composer.place(canvas, picture, (0.5, 0.5), 0.8)
    return np.asarray(canvas)


def score(entries, pictures, composer, classifier):
    """Shares of right concepts and colours, apart for trained and held-out captions."""
    names = [names[0] for names in composer.names]
    guesses = top_five(classifier, pictures)
    result = {}
    for kind in (False, True):
        rows = [n for n, entry in enumerate(entries) if entry["held_out"] is kind]
        concept = [names.index(entries[n]["concept"]) in guesses[n] for n in rows]
        first = [names.index(entries[n]["concept"]) == guesses[n][0] for n in rows]
        colour = [dominant_colour(pictures[n]) == entries[n]["colour"] for n in rows]
        result["held-out" if kind else "trained"] = {
            "captions": len(rows), "concept in top 5": round(float(np.mean(concept)), 3),
            "concept first": round(float(np.mean(first)), 3), "colour dominates": round(float(np.mean(colour)), 3)}
    result["chance of top 5"] = round(5 / len(classifier.head[-1].bias), 3)
    return result


def seed_of(entry):
    return 1000 + int(Path(entry["file"]).stem)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["captions", "draw", "sample", "score"])
    parser.add_argument("--list", type=Path, default=Path("captions.json"))
    parser.add_argument("--program", default="../../../target/release/impasto", help="the impasto program")
    parser.add_argument("--folder", type=Path, default=Path("evaluation"), help="of the PNGs")
    parser.add_argument("--model", type=Path, default=Path("../demo.safetensors"))
    parser.add_argument("--objects", type=Path, default=Path("objects.npz"))
    parser.add_argument("--merges", type=Path, default=Path("bpe_simple_vocab_16e6.txt.gz"))
    parser.add_argument("--classifier", type=Path, default=Path("classifier.pt"))
    parser.add_argument("--concepts", type=int, help="as in training")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--ceiling", action="store_true", help="score the true pictures instead of the folder's")
    options = parser.parse_args()
    torch.set_num_threads(1)
    composer = Composer(options.objects, seed=11, concepts=options.concepts)
    if options.command == "captions":
        options.list.write_text(json.dumps(make_captions(composer), indent=1) + "\n")
        return
    entries = json.loads(options.list.read_text())
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.command == "draw":
        for entry in entries:
            draw(options.program, entry["caption"], seed_of(entry), options.folder / entry["file"])
        return
    if options.command == "sample":
        model, tokenizer = load_model(options.model), Tokenizer(options.merges, TextConfig.merges)
        for start in range(0, len(entries), 25):
            part = entries[start:start + 25]
            seeds = [seed_of(entry) for entry in part]
            pictures = sample(model, tokenizer, [entry["caption"] for entry in part], seeds, options.steps,
                              options.guidance)
            for entry, picture in zip(part, pictures):
                Image.fromarray(picture).save(options.folder / entry["file"])
        return
    if options.ceiling:
        pictures = np.stack([true_picture(composer, entry) for entry in entries])
    else:
        pictures = np.stack([np.asarray(Image.open(options.folder / entry["file"]).convert("RGB")) for entry in entries])
    print(json.dumps(score(entries, pictures, composer, load_classifier(options.classifier)), indent=1))


if __name__ == "__main__":
    main()
