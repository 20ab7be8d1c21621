"""The detector finds the astronaut's face, which is not a training image, with few false alarms."""

import sys
import threading

import detect
import numpy as np
from scanner import Scanner

import matconv


def shared(box, other):
    """The area of both over the area of either; boxes are (y, x, size)."""
    sides = [min(box[k] + box[2], other[k] + other[2]) - max(box[k], other[k]) for k in (0, 1)]
    both = max(sides[0], 0) * max(sides[1], 0)
    return both / (box[2] ** 2 + other[2] ** 2 - both)


right = detect.train("faces.matconv")
print(f"held out: {100 * right:.1f} % of 40 patches right")
assert right >= 0.9

image = detect.TRIAL["astronaut"]()
grey = detect.grey(image)
scanner = Scanner("faces.matconv", *grey.shape)
ticks, stop = [0], threading.Event()


def tick():
    while not stop.wait(0.001):
        ticks[0] += 1


thread = threading.Thread(target=tick)
thread.start()
sys.setswitchinterval(100)  # who holds the GIL keeps it
before = ticks[0]
found = scanner.scan(grey, detect.SMALLEST, detect.LEAST)
during = ticks[0] - before
sys.setswitchinterval(0.005)
stop.set()
thread.join()
assert during > 20, "no other Python thread ran meanwhile"
print(f"GIL: {during} ticks of another Python thread, {scanner.looked_at} windows meanwhile")
detect.draw(image, found, "found.png")

# what does not fit is refused before anything is read or written
matconv.Network((25, 25, 1), [matconv.Conv(2, 3)], np.float32).export(
    np.zeros(20, np.float32), "images.matconv"
)
height, width = grey.shape
refused = []
for call in (
    lambda: Scanner("images.matconv", height, width),  # whose outputs are images
    lambda: Scanner("faces.matconv", 0, width),
    lambda: Scanner("faces.matconv", height, width, at_once=0),
    lambda: Scanner("faces.matconv", height, width, most=10).scan(grey, detect.SMALLEST),
    lambda: scanner.scan(grey[1:], detect.SMALLEST),
    lambda: scanner.scan(grey, 0),
    lambda: scanner.window(grey[:, 1:].copy(), 0, 0, detect.SIDE),
    lambda: scanner.window(grey, height - 10, 0, detect.SIDE),
    lambda: scanner.window(grey, 0, -1, detect.SIDE),
    lambda: scanner.window(grey, 0, 0, float("nan")),
):
    try:
        call()
    except ValueError as error:
        refused.append(str(error).removeprefix("Scanner: "))
print(f"refused: {len(refused)}, {sorted(set(refused))}")
assert len(refused) == 10 and len(set(refused)) == 6

# the whole way by Python for some windows: the same cut, the same network
predictor = matconv.load_predictor("faces.matconv")
windows = [scanner.window(grey, *box[1:]) for box in found]
scores = np.diff(predictor(np.reshape(windows, (-1, detect.SIDE, detect.SIDE, 1))))[:, 0]
assert np.all(scores > 0) and np.all(scores <= found[:, 0] * (1 + 1e-5))
for window in windows:
    np.testing.assert_allclose([window.mean(), window.var()], [0, 1], atol=1e-4)
y, x, size = found[0, 1:]
y, x = round(y), round(x)
whole = 4 * detect.SIDE  # a box of whole pixels: the means of 4 x 4 of them
by_hand = grey[y : y + whole, x : x + whole].reshape(detect.SIDE, 4, detect.SIDE, 4).mean((1, 3))
window = scanner.window(grey, y, x, whole)
np.testing.assert_allclose(window, detect.normal(by_hand[None])[0], atol=1e-3)

best = shared(found[0, 1:], detect.FACE)
print(
    f"found: score {found[0, 0]:.0f}, shares {100 * best:.0f} % with the face, first of {len(found)}"
)
assert best > 0.5
false = len(found) - 1
for name in ("coffee", "china"):
    other = detect.grey(detect.TRIAL[name]())
    false += len(Scanner("faces.matconv", *other.shape).scan(other, detect.SMALLEST, detect.LEAST))
print(f"false alarms: {false} in {len(detect.TRIAL)} photographs")
assert false <= 2
