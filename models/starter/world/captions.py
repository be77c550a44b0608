"""What people say about a clip: a grammar of captions in many wordings, orders and degrees of detail.

`caption` describes a scene and tells what it stated: attribute -> value, None where it is silent. Silence is
information too: without a word about the camera it is mostly static, and of a scene that is like what is usual for its subject only what is not is told.
"""

from __future__ import annotations

import re

import numpy as np

from .scene import ATTRIBUTES, FLYING, Scene, usual

NOUNS = {
    "car": ["car", "car", "sports car", "automobile", "sedan"],
    "bus": ["bus", "bus", "city bus", "coach"],
    "train": ["train", "steam train", "locomotive"],
    "sailboat": ["sailboat", "boat", "sailing boat", "yacht"],
    "ship": ["ship", "steamer", "ferry", "steamship"],
    "balloon": ["hot-air balloon", "hot air balloon", "balloon"],
    "airplane": ["airplane", "plane", "aeroplane", "jet"],
    "seagull": ["seagull", "gull", "seagull", "bird"],
    "butterfly": ["butterfly"],
    "kite": ["kite", "kite", "paper kite"],
    "ball": ["ball", "ball", "beach ball"],
    "person": ["person", "person", "man", "woman", "figure"],
    "dog": ["dog", "dog", "puppy"],
    "lighthouse": ["lighthouse", "lighthouse", "light tower"],
    "windmill": ["windmill", "windmill", "mill"],
    "chairs": ["two beach chairs", "two beach chairs", "a pair of beach chairs", "two deck chairs", "two vacant beach chairs", "two chairs"],
}
COLOR = {
    "red": ["red", "red", "crimson"],
    "orange": ["orange"],
    "yellow": ["yellow", "yellow", "golden yellow"],
    "green": ["green", "green", "emerald"],
    "blue": ["blue", "blue", "navy"],
    "purple": ["purple", "purple", "violet"],
    "pink": ["pink"],
    "white": ["white"],
    "black": ["black", "black", "matte black"],
}
GO = {
    "car": ["drives", "moves", "races", "rolls", "cruises"],
    "bus": ["drives", "moves", "rolls"],
    "train": ["rolls", "moves", "steams", "travels"],
    "sailboat": ["sails", "glides", "moves", "drifts"],
    "ship": ["sails", "steams", "moves", "passes"],
    "balloon": ["drifts", "floats", "flies", "moves"],
    "airplane": ["flies", "moves", "cruises"],
    "seagull": ["flies", "glides", "soars", "moves"],
    "butterfly": ["flutters", "flies", "moves"],
    "kite": ["glides", "flies", "sails", "moves"],
    "ball": ["rolls", "moves"],
    "person": ["walks", "walks", "strolls", "moves"],
    "dog": ["runs", "trots", "walks", "moves"],
}
SIDE = {
    "left": ["to the left", "left", "from right to left", "leftwards", "towards the left"],
    "right": ["to the right", "right", "from left to right", "rightwards", "towards the right"],
}
# The same in as many words, which nothing else in a caption has: where "left" and "right" are the camera's too.
PLAIN_SIDE = {side: [" ".join([f"{side}wards"] * len(v.split())) for v in options] for side, options in SIDE.items()}
MOVES = {
    "up": ["rises", "climbs", "goes up", "ascends", "moves up"],
    "down": ["falls", "descends", "sinks", "comes down", "moves down"],
    "bounce": ["bounces", "bounces up and down", "hops up and down", "jumps up and down"],
    "in": ["rolls in", "rolls into the frame", "comes rolling in", "rolls into view"],
    "wave": ["waves", "waves hello", "waves at the camera", "raises an arm and waves"],
    "turn": ["turns", "turns around", "makes a turn", "turns about"],
    "still": ["stands still", "waits", "rests", "does not move", "is still"],
}
TURNING = {
    "lighthouse": ["turns its light", "sends out a turning beam", "flashes a turning beam", "turns"],
    "windmill": ["turns", "turns in the wind", "spins", "turns its sails"],
}
HOVER = ["hovers", "hangs in the air", "stays in place", "is still"]
SLOW, FAST = ["slowly", "in slow motion", "gently", "leisurely"], ["fast", "quickly", "at high speed", "rapidly"]
WHERE = {
    "beach": ["on the beach", "on an empty beach", "on a sandy beach", "at the beach", "by the shore"],
    "harbour": ["in the harbour", "in a quiet harbour", "at the port", "in a harbor", "in front of the harbour houses"],
    "open sea": ["on the open sea", "at sea", "on the ocean", "over the waves", "far out at sea"],
    "city street": ["on a city street", "in the city", "on a street with neon signs", "downtown", "in front of the shops"],
    "intersection": ["at an intersection", "through a Manhattan intersection", "at a crossing", "at a crosswalk in Manhattan", "on a street corner"],
    "desert": ["in the desert", "among the dunes", "in a sandy desert", "across the desert"],
    "forest": ["in the forest", "in the woods", "among the fir trees", "in a pine forest"],
    "mountains": ["in the mountains", "in front of snowy peaks", "in an alpine valley", "below the mountains"],
    "meadow": ["in a meadow", "on a green meadow", "in the fields", "in the countryside", "among rolling hills"],
    "snowfield": ["on a snowfield", "in the snow-covered country", "in a winter landscape", "on a white snowy plain"],
}
WHEN = {
    "dawn": ["at dawn", "at sunrise", "at daybreak", "in the pink light of dawn"],
    "overcast morning": ["at 7 am, overcast", "on an overcast morning", "7 am overcast", "under a grey morning sky", "in the early morning under clouds"],
    "midday": ["at midday", "at noon", "in the midday sun", "in bright daylight", "on a sunny day"],
    "golden hour": ["at golden hour", "in the golden hour", "at sunset", "in warm evening light", "in warm amber light"],
    "dusk": ["at dusk", "in the twilight", "in the blue hour", "after sunset"],
    "midnight": ["at midnight", "at night", "in the middle of the night", "under the night sky"],
}
WEATHER = {
    "clear": ["clear sky", "in clear weather", "a cloudless horizon"],
    "fog": ["in fog", "in the mist", "foggy", "misty", "fog in the air"],
    "rain": ["in the rain", "rain falling", "rainy", "heavy rain", "in pouring rain"],
    "snow": ["in the snow", "snow falling", "snowfall", "in falling snow", "snowflakes in the air"],
}
CAMERA = {
    "static": ["static shot", "static wide shot", "fixed camera", "locked-off camera", "the camera does not move"],
    "pan left": ["the camera pans left", "pan left", "camera pan to the left", "panning left"],
    "pan right": ["the camera pans right", "pan right", "camera pan to the right", "panning right"],
    "dolly in": ["dolly forward", "the camera moves closer", "slow push in", "dolly in", "the camera dollies forward"],
    "dolly out": ["dolly back", "the camera pulls back", "slow pull out", "dolly out", "the camera dollies back"],
    "crane up": ["crane up", "crane shot upwards", "tilt up", "the camera rises", "the camera tilts up"],
    "rack focus": ["rack focus", "rack focus to the subject", "focus shifts from the foreground", "the focus pulls from near to far"],
}
ANGLE = {
    "eye level": ["at eye level", "wide shot", "from a wide shot"],
    "low angle": ["low angle", "from a low-angle shot", "filmed from street level", "from just above the ground"],
    "aerial": ["aerial view", "from above", "bird's-eye view", "drone shot"],
}
STATIC = {
    "eye level": ["filmed from a wide static shot", "filmed from a wide static shot just above sand level"],
    "low angle": ["filmed from a low-angle static shot", "filmed from a low-angle static shot at street level"],
}
GRADE = {
    "flat": ["flat colours", "flat colors", "travel poster style", "paper theatre"],
    "cinematic": ["cinematic color grading", "cinematic", "cinematic colour grading", "film look, subtle lens haze"],
}
FOCUS = {"deep": ["deep focus", "everything in focus"], "shallow": ["shallow depth of field", "blurred background", "bokeh"]}
SECOND = [
    "a single seagull in the upper left of the frame",
    "a seagull crossing the sky",
    "a gull flies past in the distance",
    "a single seagull moving through the upper left of the frame",
]
SIZE = {"small": ["small", "tiny", "little"], "medium": [""], "large": ["large", "big", "huge"]}
TONES = {
    "golden hour": "warm amber and rose tones in the sky",
    "dawn": "soft pink tones in the sky",
    "midnight": "stars in the sky",
    "dusk": "purple tones in the sky",
}
NEON_WET = ["neon signs reflecting in the wet asphalt", "neon lights reflected in the wet street", "rain-soaked asphalt"]
EXTRAS = ["beautiful", "high quality", "4k", "calm mood", "a short film", "smooth motion", "detailed", "vivid colours"]
# Words of no meaning here, so that a prompt's unknown words do not throw the reader off.
FILLERS = (
    "children play music with friends near some flowers happy light where stories begin because life feels magic dreams wind summer "
    "dragon robot castle garden window table bridge watercolor photograph epic gentle ancient modern funny strange quiet"
).split()


def caption(scene: Scene, rng: np.random.Generator, detail: float | None = None, sides=SIDE) -> tuple[str, dict[str, str | None]]:
    """A caption, and what it states. `detail` from 0 (the subject alone) to 1; by lot where it is None. `sides` are SIDE's wordings or PLAIN_SIDE's."""
    pick = lambda options: str(options[rng.integers(len(options))])
    d = float(rng.beta(2.2, 1.1)) if detail is None else detail
    unusual = [k for k, (v,) in usual(scene.subject).items() if getattr(scene, k) != v]
    brief = detail is None and len(unusual) <= 2 and rng.random() < 0.6
    for text, asked in GUIDES:
        alike = np.mean([getattr(scene, k) in v for k, v in asked.items()])
        if alike == 1 and rng.random() < 0.4:
            return text, {k: asked[k][0] if len(asked.get(k, ())) == 1 else None for k in ATTRIBUTES}
        if alike > 0.7 and not brief:  # training has many of these: told in full, so that "a car" does not come to mean this one
            d = 1.0
    said: dict[str, str | None] = dict.fromkeys(ATTRIBUTES)
    said["subject"] = scene.subject

    def says(name, chance):
        if brief:
            chance = 0.95 if name in unusual else 0.05
        else:
            chance *= min(1.0, 0.25 + d) if d > 0 else 0.0
        if rng.random() < chance:
            said[name] = getattr(scene, name)
        return said[name] is not None

    adjectives = [pick(SIZE[scene.size])] if scene.size != "medium" and says("size", 0.9) else []
    color = pick(COLOR[scene.color]) if says("color", 0.92) else ""
    noun = pick(NOUNS[scene.subject])
    if scene.subject == "chairs":
        article, _, rest = noun.rpartition("two ") if "two " in noun else ("", "", noun.removeprefix("a pair of "))
        head = " ".join([pick(["two", "two", "a pair of"]), *adjectives, color, rest])
    elif scene.subject == "person" and color and rng.random() < 0.5:
        head = " ".join([pick(["a", "a", "the"]), *adjectives, noun, pick(["in a {} coat", "in {}", "wearing a {} jacket"]).format(color)])
    else:
        head = " ".join([pick(["a", "a", "a", "the", "one", ""]), *adjectives, color, noun])

    plural = scene.subject == "chairs"
    verb = action(scene, pick, sides)
    if not says("move", 0.9 if scene.move != "still" else 0.6):
        verb = pick(GO[scene.subject]) if scene.move in SIDE and rng.random() < 0.6 else ""  # it goes, wherever
    elif plural:
        verb = pick(["stand still", "facing the ocean" if scene.place == "beach" else "stand in the open", "rest"])
    if verb and scene.speed != "normal" and says("speed", 0.85):
        verb += " " + pick(SLOW if scene.speed == "slow" else FAST)
    if verb and not plural and rng.random() < 0.15:
        first, _, rest = verb.partition(" ")
        verb = (participle(first) + " " + rest).strip()
    place = pick(WHERE[scene.place]) if says("place", 0.9) else ""
    if scene.place in ("city street", "intersection") and scene.weather == "rain" and place and rng.random() < 0.4:
        place = place.replace("on a city street", "on a rain-soaked city street").replace("a Manhattan", "a rain-soaked Manhattan")
        said["weather"] = "rain" if "rain" in place else said["weather"]
    when = pick(WHEN[scene.time]) if says("time", 0.9) else ""
    weather = pick(WEATHER[scene.weather]) if says("weather", 0.92 if scene.weather != "clear" else 0.2) else ""

    core = [head, verb]
    around = [w for w in (place, when) if w]
    if rng.random() < 0.3:
        around.reverse()
    sentence = " ".join(w for w in [*core, *around] if w)
    if place and rng.random() < 0.12:  # the place first, as guides do
        sentence = "the scene " + place + ", " + " ".join(w for w in (head, verb, when) if w)
    tail = [weather] if weather else []
    if scene.second != "none" and says("second", 0.95):
        tail.append(pick(SECOND))
    if said["time"] and scene.time in TONES and scene.weather == "clear" and rng.random() < 0.25 * d:
        tail.append(TONES[scene.time])
    if scene.place in ("city street", "intersection") and scene.time in ("dusk", "midnight") and scene.weather == "rain" and rng.random() < 0.5 * d:
        tail.append(pick(NEON_WET))
        said["weather"] = "rain"
    if said["weather"] == "rain" and rng.random() < 0.10 * d:
        tail.append("slight fog in the air")
    if scene.place == "beach" and rng.random() < 0.3 * d:
        tail.append(pick(["waves rolling in", "waves rolling in at medium height", "gentle waves"]))
    if rng.random() < 0.08:
        tail.append(" ".join(pick(FILLERS) for _ in range(int(rng.integers(1, 5)))))
    shot = []
    if scene.camera == "static" and scene.angle in STATIC and rng.random() < 0.15 * d:
        shot.append(pick(STATIC[scene.angle]))
        said.update(camera=scene.camera, angle=scene.angle)
    elif says("camera", 0.45 if scene.camera == "static" else 0.97):
        shot.append(pick(CAMERA[scene.camera]))
    if said["angle"] is None and says("angle", 0.25 if scene.angle == "eye level" else 0.95):
        shot.append(pick(ANGLE[scene.angle]))
    if says("focus", 0.08 if scene.focus == "deep" else 0.95):
        shot.append(pick(FOCUS[scene.focus]))
    if says("grade", 0.15 if scene.grade == "flat" else 0.95):
        shot.append(pick(GRADE[scene.grade]))
    if rng.random() < 0.10:
        shot.append(pick(EXTRAS))
    rng.shuffle(tail)
    rng.shuffle(shot)
    pieces = [sentence, *tail, *shot] if rng.random() < 0.85 else [*shot, sentence, *tail]
    if rng.random() < 0.08:  # keywords alone
        words = [w for w in (" ".join(w for w in (*adjectives, color, noun) if w), verb, place, when, *tail, *shot) if w]
        rng.shuffle(words)
        pieces = words
    text = ", ".join(" ".join(p.split()) for p in pieces if p.strip())
    text = re.sub(r"\b(a|A) (?=[aeio])", r"\1n ", text).rstrip(",") + ("." if rng.random() < 0.25 else "")
    return (text[0].upper() + text[1:] if rng.random() < 0.4 else text), said


def action(scene, pick, sides):
    s = scene
    if s.move in SIDE:
        return f"{pick(GO[s.subject])} {pick(sides[s.move])}"
    if s.move == "turn" and s.subject in TURNING:
        return pick(TURNING[s.subject])
    if s.move == "still" and s.subject in FLYING:
        return pick(HOVER)
    return pick(MOVES[s.move])


def participle(verb):
    if verb in ("is", "does"):
        return verb
    stem = verb.removesuffix("es") if verb.endswith(("ses", "shes", "ches")) else verb.removesuffix("s")
    if verb in ("races", "cruises", "glides", "drives", "moves", "rises", "waves", "makes", "bounces", "raises", "descends"):
        stem = verb.removesuffix("s").removesuffix("e")
    return {"runs": "running", "trots": "trotting", "spins": "spinning", "flies": "flying", "hops": "hopping", "stays": "staying"}.get(verb, stem + "ing")


# Two prompts from people's own guides, and what they ask for, as `sample` takes it.
GUIDES = (
    (
        "a matte black sports car moves through a rain-soaked Manhattan intersection at midnight, neon signs reflecting in the wet asphalt, filmed from a "
        "low-angle static shot at street level, slight fog in the air, cinematic color grading",
        dict(
            subject=("car",), color=("black",), move=("right",), place=("intersection",), time=("midnight",), weather=("rain",), camera=("static",),
            angle=("low angle",), speed=("normal",), size=("medium",), second=("none",), grade=("cinematic",), focus=("deep",)),
    ),
    (
        "an empty beach at golden hour, two vacant beach chairs facing the ocean, waves rolling in at medium height, warm amber and rose tones in the sky, a single "
        "seagull moving through the upper left of the frame, filmed from a wide static shot just above sand level, subtle lens haze, cinematic color grading",
        dict(
            subject=("chairs",), move=("still",), place=("beach",), time=("golden hour",), weather=("clear",), camera=("static",), angle=("eye level",),
            size=("medium",), second=("seagull",), grade=("cinematic",), focus=("deep",)),
    ),
)
