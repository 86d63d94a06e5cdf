"""A sound generator of defects, and generators that break one promise each."""

from __future__ import annotations

import os

import numpy as np

from autoad_nni.data.planting.canvas import Canvas, Covering


def sound(canvas: Canvas) -> Covering:
    """A round spot of another grey."""
    opacity = (canvas.outline(canvas.pixels(8, 16), roughness=0.1) > 0).astype(np.float64)
    return Covering(canvas.image + canvas.sign() * canvas.between(10, 60), opacity)


def one_channel(canvas: Canvas) -> Covering:
    covered, opacity = sound(canvas)
    return Covering(covered[..., :1], opacity)


def writing(canvas: Canvas) -> Covering:
    found = sound(canvas)
    canvas.other[0, 0] = 0
    return found


def without_chance(canvas: Canvas) -> Covering:
    return sound(canvas._replace(rng=np.random.default_rng(0)))


def invisible(canvas: Canvas) -> Covering:
    covered, opacity = sound(canvas)
    return Covering(canvas.image + 0.01 * (covered - canvas.image), opacity)


def everywhere(canvas: Canvas) -> Covering:
    return Covering(sound(canvas).covered, np.ones(canvas.size))


def always_as_strong(canvas: Canvas) -> Covering:
    return sound(canvas._replace(strength=1 - canvas.strength))


def of_the_process(canvas: Canvas) -> Covering:
    covered, opacity = sound(canvas)
    return Covering(covered + os.getpid() % 97 / 10, opacity)


BROKEN = {
    one_channel: "it_covers_images_of_every_form",
    writing: "the_canvas_stays_as_it_is",
    without_chance: "the_generator_of_the_canvas_determines_all",
    invisible: "its_defects_can_be_seen",
    everywhere: "a_defect_is_a_part_of_the_image",
    always_as_strong: "strong_defects_change_more",
    of_the_process: "a_new_process_gives_the_same",
}
