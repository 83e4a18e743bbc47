"""Captions and the pictures that go with them, composed from the object cache.

What it is: a seeded generator of scenes (object x colour x style x background x count x relation) that
draws a caption and its 128x128 picture, and the rule that keeps some pairs out of training.
What it is not: a renderer of emoji (data.py) or a trainer.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from data import STYLES, read_concepts

PICTURE = 128
COLOURS = {
    "red": (224, 32, 36), "orange": (250, 134, 22), "yellow": (252, 212, 40), "green": (52, 168, 62),
    "cyan": (52, 208, 226), "blue": (40, 92, 228), "purple": (134, 54, 200), "pink": (250, 116, 178),
    "brown": (128, 80, 44), "black": (44, 44, 48), "white": (244, 244, 246), "gray": (146, 148, 154),
}
BACKGROUNDS = {**COLOURS, "white": (255, 255, 255), "black": (16, 16, 18)}
FILTERS = ["pixel art", "pencil sketch", "grayscale", "silhouette", "neon"]
SIZES = {"tiny": 0.3, "small": 0.48, "big": 0.96, "huge": 1.0}
COUNTS = {"two": 2, "three": 3, "four": 4}
PLURALS = {"mouse": "mice", "sheep": "sheep", "fish": "fish", "tropical fish": "tropical fish", "wolf": "wolves",
           "cherries": "cherries", "grapes": "grapes", "glasses": "glasses", "scissors": "scissors", "jeans": "jeans",
           "loaf of bread": "loaves of bread", "maple leaf": "maple leaves", "die": "dice", "dice": "dice",
           "french fries": "french fries", "fries": "fries", "eyeglasses": "eyeglasses"}
UNCOUNTED = {"grapes", "cherries", "french fries", "fries", "glasses", "eyeglasses", "scissors", "jeans", "corn",
             "broccoli", "bread", "popcorn", "fire", "money", "tea", "coffee", "beer", "dice", "lightning"}


@dataclass
class Scene:
    """One caption, and what was asked for in it; concept is an index into concepts.tsv."""
    caption: str
    picture: np.ndarray
    concept: int
    colour: str | None


def held_out(concept_name, attribute):
    """True for the tenth of (object, colour) and (object, style) pairs that training never sees."""
    return zlib.crc32(f"impasto-d/{concept_name}/{attribute}".encode()) % 10 == 0


def with_article(words):
    name = words.split()[-1]
    if words in UNCOUNTED or name in UNCOUNTED:
        return words
    return ("an " if words[0] in "aeiou" and not words.startswith(("un", "eu")) else "a ") + words


def plural(name):
    if name in PLURALS:
        return PLURALS[name]
    head, _, tail = name.partition(" of ")
    if head.endswith(("s", "x", "ch", "sh")):
        head += "es"
    elif head.endswith("y") and head[-2] not in "aeiou":
        head = head[:-1] + "ies"
    else:
        head += "s"
    return f"{head} of {tail}" if tail else head


def dominant_mask(pixels):
    """Soft 0..1 mask of the region whose colour names the object, and the share of the object it covers.

    pixels: float RGBA in 0..1. Grey and white objects are masked by their lack of colour instead of hue.
    """
    rgb, alpha = pixels[..., :3], pixels[..., 3]
    high, low = rgb.max(-1), rgb.min(-1)
    chroma = high - low
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    safe = np.maximum(chroma, 1e-6)
    hue = np.where(high == red, ((green - blue) / safe) % 6,
                   np.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4)) / 6
    solid = alpha > 0.5
    coloured = solid & (chroma > 0.18)
    if coloured.sum() < 0.3 * solid.sum():
        mask = np.clip((0.3 - chroma) / 0.12, 0, 1) * np.clip((high - 0.3) / 0.2, 0, 1)
    else:
        counts, _ = np.histogram(hue[coloured], bins=36, range=(0, 1))
        smooth = counts + np.roll(counts, 1) + np.roll(counts, -1)
        mode = (smooth.argmax() + 0.5) / 36
        distance = np.abs((hue - mode + 0.5) % 1 - 0.5)
        mask = np.clip((0.125 - distance) / 0.04, 0, 1) * np.clip((chroma - 0.06) / 0.1, 0, 1)
    share = float((mask * solid).sum() / max(solid.sum(), 1))
    return mask, share


def recolour(pixels, mask, colour):
    """Paints the masked region in a named colour, keeping its shading and highlights."""
    rgb = pixels[..., :3]
    light = rgb @ np.array([0.35, 0.5, 0.15], np.float32)
    strong = (mask > 0.6) & (pixels[..., 3] > 0.5)
    reference = np.median(light[strong])
    shade = (light / max(reference, 0.05))[..., None]
    target = np.array(COLOURS[colour], np.float32) / 255
    dark = target * np.minimum(shade, 1) ** (0.5 if colour == "white" else 0.85)
    bright = target + (1 - target) * np.clip((shade - 1) / max(1 / max(reference, 0.05) - 1, 0.2), 0, 1) * 0.7
    painted = np.where(shade > 1, bright, dark)
    result = pixels.copy()
    result[..., :3] = rgb + (painted - rgb) * mask[..., None]
    return result


class Composer:
    """Draws scenes. Training composers leave out the held-out pairs."""

    def __init__(self, objects_file, seed, concepts=None):
        """concepts: how many of the list's first concepts to draw from; all by default."""
        cache = np.load(objects_file)
        self.pictures, self.filled = cache["pictures"], cache["filled"]
        self.names = [names for _, names in read_concepts()][:concepts]
        # The commonest come first in the list, and somewhat more often.
        chances = (1 + np.arange(len(self.names)) / 20) ** -0.4
        self.chances = chances / chances.sum()
        self.random = np.random.default_rng(seed)
        self.masks = {}

    def mask(self, concept, style):
        if (concept, style) not in self.masks:
            pixels = self.pictures[concept, style].astype(np.float32) / 255
            mask, share = dominant_mask(pixels)
            self.masks[concept, style] = ((mask * 255).astype(np.uint8), share)
        mask, share = self.masks[concept, style]
        return mask.astype(np.float32) / 255, share

    def recolourable(self, concept, style):
        return self.mask(concept, style)[1] >= 0.35

    def trained_styles(self, concept):
        """Style numbers whose pictures of the concept are in training."""
        name = self.names[concept][0]
        return [s for s in range(len(STYLES)) if self.filled[concept, s] and not held_out(name, STYLES[s])]

    def trained_colours(self, concept):
        return [c for c in COLOURS if not held_out(self.names[concept][0], c)]

    def object_picture(self, concept, style, colour=None):
        """RGBA picture of one object, painted if a colour is given."""
        pixels = self.pictures[concept, style]
        if colour is not None:
            mask, _ = self.mask(concept, style)
            pixels = recolour(pixels.astype(np.float32) / 255, mask, colour)
            pixels = (pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8)
        return Image.fromarray(pixels, "RGBA")

    def background(self, colour):
        """Canvas of one colour, sometimes a little lighter at the top."""
        base = np.array(BACKGROUNDS[colour], np.float32)
        if colour != "white":
            base = base + self.random.normal(0, 5, 3)
        ramp = self.random.choice([0, 0, 14]) * np.linspace(1, -1, PICTURE)[:, None, None]
        canvas = np.broadcast_to(base + (ramp if colour != "white" else 0), (PICTURE, PICTURE, 3))
        return Image.fromarray(canvas.clip(0, 255).astype(np.uint8), "RGB")

    def place(self, canvas, picture, centre, size):
        """Pastes an object of `size` (share of the picture) at `centre`.

        Never off at random: a shift by less than a latent's 8 pixels changes every latent, and would have to be learnt.
        """
        side = round(PICTURE * size)
        picture = picture.resize((side, side), Image.Resampling.BOX if side < 60 else Image.Resampling.BILINEAR)
        left, top = (round(PICTURE * c - side / 2) for c in centre)
        canvas.paste(picture, (left, top), picture)

    def pick(self, options):
        return options[self.random.integers(len(options))]

    def pick_object(self, colour_chance, style_chance=0.0):
        """(concept, name, style number, whether the style is named, colour or None)

        Without a style word the concept's first set is drawn, so that plain captions have one answer.
        """
        while True:
            concept = int(self.random.choice(len(self.names), p=self.chances))
            styles = self.trained_styles(concept)
            if styles:
                break
        named = self.random.random() < style_chance
        style = self.pick(styles) if named else styles[0]
        names = self.names[concept]
        name = self.pick(names[1:]) if len(names) > 1 and self.random.random() < 0.15 else names[0]
        colour = None
        if self.random.random() < colour_chance and self.recolourable(concept, style):
            colour = self.pick(self.trained_colours(concept))
        return concept, name, style, named, colour

    def pick_background(self, taken):
        """Background colour and its words; white needs no words."""
        if self.random.random() < 0.5 or "white" in taken:
            colour = self.pick([c for c in BACKGROUNDS if c not in taken])
            words = f" on a {colour} background"
            return colour, words if "a o" not in words else words.replace("a orange", "an orange")
        return "white", self.pick(["", "", "", "", " on a white background"])

    def single(self, colour_chance=0.5):
        concept, name, style, named, colour = self.pick_object(colour_chance, style_chance=0.35)
        background, words = self.pick_background([colour])
        size_word, size = "", 0.8
        draw = self.random.random()
        picture = self.object_picture(concept, style, colour)
        suffix = f", {STYLES[style]} style" if named else ""
        if draw < 0.1:
            size_word = self.pick(list(SIZES))
            size = SIZES[size_word]
            size_word += " "
        elif draw < 0.12:
            picture = picture.transpose(Image.Transpose.ROTATE_180)
            suffix = " upside down" + suffix
        canvas = self.background(background)
        self.place(canvas, picture, (0.5, 0.5), size)
        subject = f"{size_word}{colour + ' ' if colour else ''}{name}"
        if self.random.random() < 0.75:
            subject = with_article(subject)
        caption = f"{subject}{suffix}{words}" if self.random.random() < 0.5 else f"{subject}{words}{suffix}"
        return Scene(caption, np.asarray(canvas), concept, colour)

    def filtered(self):
        """One object in a drawing style that is made from the picture."""
        concept, name, style, _, colour = self.pick_object(0.3)
        effect = self.pick(FILTERS)
        if effect in ("grayscale", "silhouette", "pencil sketch", "neon"):
            colour = None
        picture = self.object_picture(concept, style, colour)
        canvas = self.background("white")
        if effect == "silhouette":
            black = Image.new("RGBA", picture.size, (12, 12, 12, 255))
            black.putalpha(picture.getchannel("A"))
            picture = black
        self.place(canvas, picture, (0.5, 0.5), 0.8)
        if effect == "pixel art":
            canvas = canvas.resize((16, 16), Image.Resampling.BOX).resize((PICTURE, PICTURE), Image.Resampling.NEAREST)
        elif effect == "grayscale":
            canvas = ImageOps.grayscale(canvas).convert("RGB")
        elif effect in ("pencil sketch", "neon"):
            edges = canvas.filter(ImageFilter.GaussianBlur(1)).filter(ImageFilter.FIND_EDGES)
            edges = ImageOps.autocontrast(edges.crop((2, 2, PICTURE - 2, PICTURE - 2))).resize((PICTURE, PICTURE))
            canvas = ImageOps.invert(ImageOps.grayscale(edges)).convert("RGB") if effect == "pencil sketch" else edges
        subject = with_article(f"{colour + ' ' if colour else ''}{name}")
        caption = self.pick([f"{subject}, {effect}", f"{effect} of {subject}"])
        return Scene(caption, np.asarray(canvas), concept, colour)

    def several(self):
        """Two to four of the same object."""
        concept, name, style, named, colour = self.pick_object(0.4, style_chance=0.2)
        if name in UNCOUNTED:
            return self.single()
        word = self.pick(list(COUNTS))
        background, words = self.pick_background([colour])
        canvas = self.background(background)
        picture = self.object_picture(concept, style, colour)
        spots = {2: [(0.27, 0.5), (0.73, 0.5)], 3: [(0.5, 0.28), (0.27, 0.73), (0.73, 0.73)],
                 4: [(0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)]}[COUNTS[word]]
        for spot in spots:
            self.place(canvas, picture, spot, 0.42)
        suffix = f", {STYLES[style]} style" if named else ""
        caption = f"{word} {colour + ' ' if colour else ''}{plural(name)}{words}{suffix}"
        return Scene(caption, np.asarray(canvas), concept, colour)

    def pair(self):
        """Two objects and how they lie."""
        first, second = self.pick_object(0.35), self.pick_object(0.35)
        relation = self.pick(["left of", "right of", "above", "below", "and"])
        spots = {"left of": ((0.27, 0.5), (0.73, 0.5)), "right of": ((0.73, 0.5), (0.27, 0.5)),
                 "above": ((0.5, 0.27), (0.5, 0.73)), "below": ((0.5, 0.73), (0.5, 0.27)),
                 "and": ((0.27, 0.5), (0.73, 0.5))}[relation]
        background, words = self.pick_background([first[4], second[4]])
        canvas, parts = self.background(background), []
        for (concept, name, style, _, colour), spot in zip((first, second), spots):
            self.place(canvas, self.object_picture(concept, style, colour), spot, 0.46)
            parts.append(with_article(f"{colour + ' ' if colour else ''}{name}"))
        return Scene(f"{parts[0]} {relation} {parts[1]}{words}", np.asarray(canvas), first[0], first[4])

    def scene(self):
        """A scene of a kind drawn at the training mixture's rates."""
        draw = self.random.random()
        if draw < 0.82:
            return self.single()
        if draw < 0.88:
            return self.filtered()
        return self.several() if draw < 0.94 else self.pair()
