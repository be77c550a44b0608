"""The starter's world: a paper theatre that draws what its captions say."""

from . import draw
from .scene import ATTRIBUTES, FPS, FRAMES, SIZES, Scene, held_back, sample
from .stage import Stage

__all__ = ["ATTRIBUTES", "FPS", "FRAMES", "SIZES", "Scene", "held_back", "picture", "render", "sample"]


def picture(scene: Scene, width: int, height: int, frames: int, fps: float = FPS) -> draw.Picture:
    """The scene as a table of shapes; `draw.render` makes pixels of it."""
    from . import places, subjects

    stage = Stage(scene, width, height, frames, fps)
    places.back(stage)
    if scene.second == "seagull":
        stage.pace, stage.moving = 1.0, 1.0
        subjects.draw_second(stage)
    subjects.draw_subject(stage)
    places.front(stage)
    return stage.picture()


def render(scene: Scene, width: int = 256, height: int = 144, frames: int = 81, fps: float = FPS):
    """uint8 [frames, height, width, 3], sRGB."""
    return draw.render(picture(scene, width, height, frames, fps), width, height)
