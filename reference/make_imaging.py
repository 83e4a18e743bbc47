"""Goldens for crates/imaging: Pillow's integers, OpenCV's blur and Lab, torch's interpolation, scikit-image's histograms.

    python reference/make_imaging.py        # writes goldens/imaging.safetensors and goldens/imaging.json

Made with Pillow 9.5.0, opencv-python-headless 4.10.0.84, scikit-image 0.26.0, blendmodes 2022, torch 2.9.1, numpy 2.4.6.
Pictures are tiny, of odd sizes, and mostly noise: noise shows every rounding.
"""

import base64
import io
import json
import math
from pathlib import Path

import cv2
import numpy as np
import torch
from blendmodes.blend import BlendType, blendLayers
from PIL import Image, ImageFilter, ImageOps, PngImagePlugin
from safetensors.numpy import save_file
from skimage.exposure import match_histograms

GOLDENS = Path(__file__).resolve().parent.parent / "goldens"
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}
RNG = np.random.default_rng(20)


def noise(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def image(array):
    return Image.fromarray(np.ascontiguousarray(array))


def smooth(height, width, *phases):
    """Waves, one a channel."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [127 + 120 * np.sin(7 * x + 5 * phase * y + phase) for phase in phases]
    return np.stack(waves, -1).astype(np.uint8)


def sources():
    rgba = noise(17, 23, 4)
    # Alpha of all kinds, often none and all.
    rgba[..., 3] = np.where(RNG.random((17, 23)) < 0.3, np.where(RNG.random((17, 23)) < 0.5, 0, 255), rgba[..., 3])
    mask = np.zeros((17, 23), dtype=np.uint8)
    mask[5:11, 8:17] = 255
    mask[9, 6:8] = 100
    return {
        "l": noise(17, 23),
        "rgb": noise(17, 23, 3),
        "rgba": rgba,
        "over": noise(17, 23, 4),
        "small": noise(9, 13, 3),
        "mask": mask,
        "smooth": smooth(17, 23, 1, 2, 3),
        "target": smooth(13, 9, 0.4, 1.7, 2.5),
        "large": smooth(31, 45, 1, 2, 3) ^ (noise(31, 45, 3) & 7),
    }


def resizing(src, out):
    for name, code in FILTERS.items():
        for mode in ("l", "rgb", "rgba"):
            for width, height in ((31, 9), (5, 40), (1, 1), (46, 34), (23, 8)):
                resized = image(src[mode]).resize((width, height), code)
                out[f"resize.{name}.{mode}.{width}x{height}"] = np.array(resized)


def planes(out):
    source = torch.from_numpy(RNG.standard_normal((2, 7, 9)).astype(np.float32))
    out["planes"] = source.numpy()
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        for antialias in (False, True) if mode.startswith("bi") else (False,):
            for height, width in ((14, 18), (5, 4), (11, 9), (7, 23), (1, 1), (3, 40)):
                resized = torch.nn.functional.interpolate(source[None], (height, width), mode=mode, antialias=antialias)
                name = mode + ("-antialiased" if antialias else "")
                out[f"planes.{name}.{height}x{width}"] = resized[0].contiguous().numpy()


def fitted(picture, mode, width, height):
    """Stretch, cover and crop, or contain and fill; sizes in whole numbers, rounded down."""
    lanczos = Image.Resampling.LANCZOS
    own_width, own_height = picture.size
    if mode == "stretch":
        return picture.resize((width, height), lanczos)
    wider = width / height > own_width / own_height
    narrower = width / height < own_width / own_height
    if wider if mode == "crop" else narrower:
        inner = (width, own_height * width // own_width)
    else:
        inner = (own_width * height // own_height, height)
    inner = tuple(max(side, 1) for side in inner)
    scaled = picture.resize(inner, lanczos)
    left, top = width // 2 - inner[0] // 2, height // 2 - inner[1] // 2
    made = Image.new(picture.mode, (width, height))
    made.paste(scaled, (left, top))
    # A box without height, scaled up, is the picture's edge.
    below, beyond = height - top - inner[1], width - left - inner[0]
    bands = []
    if narrower and mode == "fill":
        bands = [((width, top), (0, 0, width, 0), (0, 0)), ((width, below), (0, inner[1], width, inner[1]), (0, top + inner[1]))]
    elif wider and mode == "fill":
        bands = [((left, height), (0, 0, 0, height), (0, 0)), ((beyond, height), (inner[0], 0, inner[0], height), (left + inner[0], 0))]
    for size, box, place in bands:
        if min(size) > 0:
            made.paste(scaled.resize(size, box=box), place)
    return made


def fitting(src, out):
    for mode in ("stretch", "crop", "fill"):
        for width, height in ((16, 40), (40, 16), (24, 24), (9, 13), (64, 8), (46, 34), (7, 31), (33, 10)):
            out[f"fit.{mode}.rgb.{width}x{height}"] = np.array(fitted(image(src["rgb"]), mode, width, height))
            out[f"fit.{mode}.l.{width}x{height}"] = np.array(fitted(image(src["l"]), mode, width, height))


def colors(src, out):
    picture = image(src["rgba"])
    out["luminance.rgba"] = np.array(picture.convert("L"))
    for color in ("#ffffff", "#123abc"):
        under = Image.new("RGBA", picture.size, color)
        under.paste(picture, mask=picture)
        out[f"flatten.{color}"] = np.array(under.convert("RGB"))


def compositing(src, out):
    under, over = image(src["rgba"]), image(src["over"])
    out["alpha_composite"] = np.array(Image.alpha_composite(under, over))
    pasted = image(src["rgb"])
    pasted.paste(image(src["small"]), (-3, 11), image(src["l"][:9, :13]))
    out["paste_masked"] = np.array(pasted)
    for share in (0.0, 0.3, 0.5, 0.77, 1.0):
        blended = Image.blend(image(src["rgb"]), image(src["over"][..., :3]), share)
        out[f"blend.{share}"] = np.array(blended)


def cut(picture, mask):
    faded = Image.new("RGBa", picture.size)
    faded.paste(picture.convert("RGBA").convert("RGBa"), mask=mask)
    return faded


def masks(src, out):
    alpha = src["rgba"][..., 3]
    out["binary.round"] = np.where(alpha > 128, 255, 0).astype(np.uint8)
    for sigma in (0.3, 1, 2.5, 4, 7, 13.4, 32, 64):
        size = 2 * int(2.5 * sigma + 0.5) + 1
        named = str(sigma).replace(".", "_")
        for source in ("l", "mask"):
            across = cv2.GaussianBlur(src[source], (size, 1), sigma)
            out[f"blur.{source}.{named}.0"] = across
            out[f"blur.{source}.{named}.{named}"] = cv2.GaussianBlur(across, (1, size), sigma)
    out["blur.l.2.9"] = cv2.GaussianBlur(cv2.GaussianBlur(src["l"], (11, 1), 2), (1, 47), 9)
    out["overlay_mask"] = np.clip(src["l"].astype(np.float32) * 2, 0, 255).astype(np.uint8)
    for width, height in ((3, 2), (8, 5), (23, 17)):
        for source in ("l", "mask"):
            small = np.array(image(src[source]).convert("RGB").resize((width, height)), dtype=np.float32)[..., 0] / 255
            out[f"latent.{source}.{width}x{height}"] = small
            out[f"latent_round.{source}.{width}x{height}"] = np.around(small)
    out["cut_out"] = np.array(cut(image(src["rgb"]), image(src["l"])).convert("RGBA"))


def filling(src, out):
    for source in ("l", "mask"):
        for picture in ("rgb", "smooth"):
            kept = cut(image(src[picture]), ImageOps.invert(image(src[source])))
            made = Image.new("RGBA", kept.size)
            for radius, times in ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1)):
                blurred = kept.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
                for _ in range(times):
                    made.alpha_composite(blurred)
            out[f"fill.{source}.{picture}"] = np.array(made.convert("RGB"))


def overlaying(src, out):
    """Back into the picture: cover the region, lay the original over it."""
    overlay = cut(image(src["rgb"]), ImageOps.invert(image(src["l"]))).convert("RGBA")
    result = Image.new("RGBA", overlay.size)
    result.paste(fitted(image(src["small"]), "crop", 11, 6).convert("RGBA"), (5, 4))
    result.alpha_composite(overlay)
    out["overlay.5.4.16.10"] = np.array(result.convert("RGB"))


def correcting(src, out):
    for name, target in (("smooth", "target"), ("large", "smooth"), ("small", "target"), ("smooth", "small")):
        picture = src[name]
        lab, wanted = (cv2.cvtColor(array, cv2.COLOR_RGB2LAB) for array in (picture, src[target]))
        matched = cv2.cvtColor(match_histograms(lab, wanted, channel_axis=2), cv2.COLOR_LAB2RGB).astype(np.uint8)
        corrected = blendLayers(image(matched), image(picture), BlendType.LUMINOSITY)
        out[f"correct.{name}.{target}"] = np.array(corrected.convert("RGB"))


def tiles(src, out):
    """Tiles are pasted in order; one that is not the first fades in over `overlap` pixels."""
    height, width = src["large"].shape[:2]
    for side_x, side_y, overlap in ((16, 12, 4), (20, 20, 7), (9, 31, 3), (16, 16, 0)):
        columns, rows = (math.ceil((whole - overlap) / (side - overlap)) for whole, side in ((width, side_x), (height, side_y)))
        place = lambda index, count, whole, side: min(int(index * ((whole - side) / max(count - 1, 1))), whole - side)
        ramp = (np.arange(overlap, dtype=np.float32) * 255 / max(overlap, 1)).astype(np.uint8)
        made = Image.new("RGB", (width, height))
        for row in range(rows):
            top = place(row, rows, height, side_y)
            band = Image.new("RGB", (width, side_y))
            for column in range(columns):
                left = place(column, columns, width, side_x)
                tile = src["large"][top : top + side_y, left : left + side_x]
                # Whatever made the tile anew: here its number decides how dark it gets.
                tile = tile >> (row * columns + column) % 3
                fade = np.full((side_y, side_x), 255, np.uint8)
                if left > 0:
                    fade[:, :overlap] = ramp
                band.paste(image(tile), (left, 0), image(fade))
            fade = np.full((side_y, width), 255, np.uint8)
            if top > 0:
                fade[:overlap] = ramp[:, None]
            made.paste(band, (0, top), image(fade))
        out[f"tiles.{side_x}x{side_y}.{overlap}"] = np.array(made)


def region(mask, padding):
    box = image(mask).getbbox()
    if box is None:
        return None
    (left, top, right, bottom), (height, width) = box, mask.shape
    return [max(left - padding, 0), max(top - padding, 0), min(right + padding, width), min(bottom + padding, height)]


def expanded(box, target, whole):
    left, top, right, bottom = box
    ratio = target[0] / target[1]
    tall = (right - left) / (bottom - top) > ratio
    first, last, limit = (top, bottom, whole[1]) if tall else (left, right, whole[0])
    wanted = (right - left) / ratio if tall else (bottom - top) * ratio
    more = int(wanted - (last - first))
    first, last = first - more // 2, last + more - more // 2
    if last >= limit:
        first, last = first - (last - limit), limit
    if first < 0:
        first, last = 0, min(last - first, limit)
    return [left, first, right, last] if tall else [first, top, last, bottom]


def regions():
    cases = []
    for _ in range(60):
        width, height = (int(side) for side in RNG.integers(1, 60, 2))
        mask = np.zeros((height, width), dtype=np.uint8)
        spots = [[int(RNG.integers(width)), int(RNG.integers(height))] for _ in range(int(RNG.integers(0, 4)))]
        for x, y in spots:
            mask[y, x] = 1
        padding, target = int(RNG.integers(0, 12)), [int(side) for side in RNG.integers(1, 100, 2)]
        found = region(mask, padding)
        grown = found and expanded(found, target, (width, height))
        cases.append({"size": [width, height], "spots": spots, "padding": padding, "target": target, "region": found, "expanded": grown})
    return cases


def file(picture, format, **options):
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def files(src):
    """Files of all kinds, and what Pillow reads in them."""
    rgb, rgba, grey = image(src["small"]), image(src["rgba"][:5, :7]), image(src["l"][:5, :7])
    colors = image(smooth(16, 16, 1, 2, 3))
    palette = rgb.quantize(8)
    turned = Image.Exif()
    comment = PngImagePlugin.PngInfo()
    comment.add_text("parameters", "a cat\nSteps: 3")
    comment.add_text("Title", "\u732b")
    deep = Image.fromarray((np.arange(35, dtype=np.uint16) * 1872).reshape(5, 7))
    made = {
        "png.rgba": file(rgba, "PNG"),
        "png.grey": file(grey, "PNG"),
        "png.grey_alpha": file(rgba.convert("LA"), "PNG"),
        "png.palette": file(palette, "PNG"),
        "png.palette_transparent": file(palette, "PNG", transparency=3),
        "png.one_bit": file(grey.convert("1"), "PNG"),
        "png.grey_16": file(deep, "PNG"),
        "png.animated": file(rgb, "PNG", save_all=True, append_images=[rgb.transpose(1), rgb.transpose(0)]),
        "png.texts": file(rgb, "PNG", pnginfo=comment),
        "jpeg.rgb": file(colors, "JPEG", quality=95, subsampling=0),
        "jpeg.grey": file(colors.convert("L"), "JPEG", quality=95),
        "jpeg.cmyk": file(colors.convert("CMYK"), "JPEG", quality=95),
        "jpeg.progressive": file(colors, "JPEG", quality=95, subsampling=0, progressive=True),
        "jpeg.comment": file(colors, "JPEG", quality=95, subsampling=0, comment=b"a comment"),
        "webp.rgba": file(rgba, "WEBP", lossless=True, exact=True),
        "webp.animated": file(rgb, "WEBP", lossless=True, save_all=True, append_images=[rgb.transpose(1)], duration=50),
        "gif.comment": file(palette, "GIF", comment=b"a dog\nSteps: 5"),
        "gif.animated": file(palette, "GIF", save_all=True, append_images=[palette.transpose(1)]),
    }
    for orientation in range(1, 9):
        turned[0x0112] = orientation
        made[f"jpeg.turned_{orientation}"] = file(colors, "JPEG", quality=95, subsampling=0, exif=turned)
    turned[0x0112] = 6
    made["png.turned"] = file(rgb, "PNG", exif=turned)
    made["webp.turned"] = file(rgb, "WEBP", lossless=True, exif=turned)
    read = {}
    for name, content in made.items():
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        if picture.mode.startswith("I"):
            # Pillow cuts 16 bits off at 255; scaled is what is meant.
            picture = image(np.rint(np.array(picture) / 257).astype(np.uint8))
        encoded, pixels = (base64.b64encode(part).decode() for part in (content, picture.convert("RGBA").tobytes()))
        read[name] = {"file": encoded, "size": picture.size, "rgba": pixels}
    return read


def main():
    src, out = sources(), {}
    out |= {f"source.{name}": array for name, array in src.items()}
    resizing(src, out)
    planes(out)
    fitting(src, out)
    colors(src, out)
    compositing(src, out)
    masks(src, out)
    filling(src, out)
    overlaying(src, out)
    correcting(src, out)
    tiles(src, out)
    save_file({name: np.ascontiguousarray(array) for name, array in out.items()}, GOLDENS / "imaging.safetensors")
    (GOLDENS / "imaging.json").write_text(json.dumps({"regions": regions(), "files": files(src)}) + "\n")


if __name__ == "__main__":
    main()
