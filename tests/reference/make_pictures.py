#!/usr/bin/env python3
"""Writes ../data/picture_values.h: what torchvision makes of a small picture.

usage: make_pictures.py      (needs torch 2.13 and torchvision 0.29)

The random transforms draw from (seed 0, epoch 0, sample 0, place 0); `drawn` are those numbers, which the test compares with
what the library draws before it compares pictures.
"""
import math
import pathlib

import torch

# torchvision's own kernels are not needed, and its CUDA build does not load without CUDA.
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torchvision.transforms import InterpolationMode  # noqa: E402
from torchvision.transforms import functional as F  # noqa: E402

drawn = [0.28748199648448913, 0.28758207186509499, 0.58269647446635631, 0.70505344959284033, 0.43753978875476984,
         0.50807835814149471, 0.50615164288634251, 0.74739628318451867, 0.31134908358409741]
c, y, x = torch.meshgrid(torch.arange(3), torch.arange(6), torch.arange(7), indexing="ij")
picture = ((c * 67 + y * 31 + x * 17 + x * y * 5) % 256).double() / 255


def between(low, high, k):
    return low + (high - low) * drawn[k]


def resize(height, width):
    return torch.nn.functional.interpolate(picture[None], (height, width), mode="bilinear", antialias=True)[0]


def affine():
    move = [round(between(-0.2 * side, 0.2 * side, k)) for side, k in ((7, 3), (6, 4))]
    return F.affine(picture, between(-30, 30, 0), move, between(0.8, 1.2, 1), [between(-20, 20, 2), 0.0],
                    interpolation=InterpolationMode.BILINEAR)


def perspective():
    sides, start, end = (6, 5), [], []
    for k in range(4):
        signs = [1 if k >> i & 1 else -1 for i in range(2)]
        start.append([0.5 + (s + 1) / 2 * side for s, side in zip(signs, sides)])
        end.append([0.5 + side / 2 * (1 + s * (1 - between(0, 0.5, 1 + 2 * k + i)))
                    for i, (s, side) in enumerate(zip(signs, sides))])
    return F.perspective(picture, start, end, interpolation=InterpolationMode.BILINEAR)


def jitter():
    p = F.adjust_brightness(picture, between(0.6, 1.4, 0))
    p = F.adjust_contrast(p, between(0.6, 1.4, 1))
    p = F.adjust_saturation(p, between(0.6, 1.4, 2))
    return F.adjust_hue(p, between(-0.2, 0.2, 3))


def blur(deviation):
    return F.gaussian_blur(picture, 2 * math.ceil(3 * deviation) + 1, deviation)


def augmented(strength):
    """The fourteen changes of rand_augment.c, in its order; with this strength and its sign."""
    whole = (picture * 255).round().to(torch.uint8)
    slant, size = math.degrees(math.atan(0.3 * strength)), 0.0 + abs(strength)
    move = [round(150 / 331 * strength * side) for side in (7, 6)]

    def affine(angle, translate, shear):
        return F.affine(picture, angle, translate, 1.0, shear, interpolation=InterpolationMode.BILINEAR)

    changes = [picture, affine(0, [0, 0], [slant, 0.0]), affine(0, [0, 0], [0.0, slant]),
               affine(0, [-move[0], 0], [0.0, 0.0]), affine(0, [0, -move[1]], [0.0, 0.0]),
               affine(30 * strength, [0, 0], [0.0, 0.0]), F.adjust_brightness(picture, 1 + 0.9 * strength),
               F.adjust_contrast(picture, 1 + 0.9 * strength), F.adjust_saturation(picture, 1 + 0.9 * strength),
               F.adjust_sharpness(whole, 1 + 0.9 * strength).double() / 255]
    levels = [F.posterize(whole, 8 - round(4 * size)), F.solarize(whole, 255 * (1 - size)), F.autocontrast(whole),
              F.equalize(whole)]
    return torch.cat([c.flatten() for c in changes] + [level.double().flatten() / 255 for level in levels])


def array(name, values):
    numbers = [f"{v:.7g}" for v in values]
    lines = [", ".join(numbers[i:i + 12]) for i in range(0, len(numbers), 12)]
    return f"static const double {name}[] = {{\n    " + ",\n    ".join(lines) + ",\n};\n"


out = "/* picture_values.h: made by tests/reference/make_pictures.py from torchvision. */\n"
out += "static const double drawn[] = { " + ", ".join(f"{v:.17g}" for v in drawn) + " };\n"
for name, value in (("resized_smaller", resize(4, 3)), ("resized_larger", resize(9, 12)), ("resized_one", resize(1, 1)),
                    ("warped_affine", affine()), ("warped_perspective", perspective()), ("jittered", jitter()),
                    ("blurred", blur(0.8)), ("centre", F.center_crop(picture, [4, 10])),
                    ("augmented", torch.cat([augmented(-0.6), augmented(0.6)]))):
    out += array(name, value.flatten().tolist())
(pathlib.Path(__file__).parent.parent / "data" / "picture_values.h").write_text(out)
