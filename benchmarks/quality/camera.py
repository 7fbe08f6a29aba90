"""A moving picture with some noise for fake cameras, 1280x720 at 30 fps: an encoder needs all it is given.

camera(Path("build/quality"))      # the .y4m file, made once
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

WIDTH, HEIGHT, RATE, FRAMES = 1280, 720, 30, 60
_TRAVEL = 48
"""Pixels that the picture moves on its circle. Higher: needs more bits than a call has. Lower: the encoder
has no use for what it may spend."""


def camera(folder: Path) -> Path:
    path = folder / f"camera-{WIDTH}x{HEIGHT}-{FRAMES}.y4m"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(".part")
        with made.open("wb") as file:
            file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
            for picture in _pictures():
                file.write(b"FRAME\n" + picture)
        made.rename(path)
    return path


def _pictures() -> list[bytes]:
    dice = np.random.default_rng(1)
    margin = 2 * _TRAVEL
    scene = np.zeros((HEIGHT + margin, WIDTH + margin), np.float32)
    for cell, strength in ((128, 60), (32, 30), (8, 10), (2, 3)):
        rows, columns = (side // cell + 2 for side in scene.shape)
        blocks = np.kron(dice.standard_normal((rows, columns)), np.ones((cell, cell)))
        scene += strength * _smooth(blocks.astype(np.float32), cell)[: scene.shape[0], : scene.shape[1]]
    scene = np.clip(scene + 128, 16, 235)
    colour = np.clip(128 + 0.3 * (np.roll(scene, 200, 1) - 128), 16, 240)
    found = []
    for index in range(FRAMES):
        angle = 2 * np.pi * index / FRAMES
        x, y = (round(_TRAVEL * (1 + part)) for part in (np.cos(angle), np.sin(angle)))
        light = scene[y : y + HEIGHT, x : x + WIDTH] + dice.standard_normal((HEIGHT, WIDTH)) * 2
        tint = colour[y : y + HEIGHT : 2, x : x + WIDTH : 2]
        planes = (light, tint, 255 - tint)
        found.append(b"".join(np.clip(plane, 0, 255).astype(np.uint8).tobytes() for plane in planes))
    return found


def _smooth(picture: np.ndarray, width: int) -> np.ndarray:
    for axis in (0, 1):
        total = np.cumsum(picture, axis=axis)
        picture = (np.roll(total, -width // 2, axis) - np.roll(total, width // 2, axis)) / width
    return picture
