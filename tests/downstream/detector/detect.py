"""Learns faces from 80 small ones, freezes the network, finds a face in a photograph.

    python detect.py [faces.matconv [found.png]]

Faces are those of skimage.data.lfw_subset. What is no face comes from there, from photographs
without faces, and from those of their windows that the network took for faces. The photographs
of the trial are used for nothing else.
"""

import sys

import numpy as np
from scanner import Scanner
from skimage import color, data, transform
from sklearn.datasets import load_sample_image

from matconv import Conv, Dense, MaxPool, Network, Objective, minimize

WITHOUT_FACES = {
    **{name: getattr(data, name) for name in ("rocket", "brick", "grass", "gravel", "coins")},
    "hubble_deep_field": data.hubble_deep_field,
    "camera": lambda: data.camera()[140:],  # below the photographer's head
    "motorcycle": lambda: data.stereo_motorcycle()[0],
    "flower": lambda: load_sample_image("flower.jpg"),
}
TRIAL = {
    "astronaut": data.astronaut,
    "coffee": data.coffee,
    "china": lambda: load_sample_image("china.jpg"),
}
FACE = (72, 172, 97)  # of the astronaut, from hair to chin, by eye: top, left, size
SIDE, EXPERTS = 25, 3
SMALLEST, LEAST = 64, 20  # pixels of a face; score of a crowd that is one


def grey(photograph):
    """Grey, in [0, 1], of float64."""
    if photograph.ndim == 3:
        return np.ascontiguousarray(color.rgb2gray(photograph))
    return photograph / 255.0


def normal(patches):
    """Each with mean 0 and variance 1, as the scanner cuts them."""
    flat = np.reshape(patches, (len(patches), -1))
    deviation = np.sqrt(np.maximum(flat.var(1, keepdims=True), 1e-4))
    return ((flat - flat.mean(1, keepdims=True)) / deviation).astype(np.float32)


def varied(patches, count, random):
    """So many variations of each: mirrored, turned, moved, larger, smaller."""
    middle = transform.SimilarityTransform(translation=(-(SIDE - 1) / 2, -(SIDE - 1) / 2))
    for patch in patches:
        for k in range(count):
            change = transform.SimilarityTransform(
                scale=random.uniform(0.85, 1.12),
                rotation=random.normal(0, 0.15),
                translation=random.uniform(-1, 1, 2),
            )
            image = patch[:, ::-1] if k % 2 else patch
            yield transform.warp(image, middle + change + middle.inverse, mode="edge")


def anywhere(photograph, count, random):
    """Boxes (score, y, x, size) of all sizes, anywhere."""
    size = np.exp(random.uniform(np.log(30), np.log(0.9 * min(photograph.shape)), count))
    y, x = (random.uniform(0, length - size) for length in photograph.shape)
    return np.stack([np.zeros(count), y, x, size], 1)


def network(experts):
    """That of one expert; of several side by side, whose outputs the last layer adds up."""
    layers = [
        Conv(8 * experts, 5, activation="relu"),
        MaxPool(3),
        Conv(16 * experts, 3, groups=experts, activation="relu"),
        Dense(2),
    ]
    return Network((SIDE, SIDE, 1), layers, np.float32)


def side_by_side(thetas):
    """theta of as many experts as there are theta, each in its own groups of channels."""
    one, several = network(1), network(len(thetas))
    (W1, b1), (W2, b2), (W3, b3) = (zip(*layer) for layer in zip(*map(one.unpack, thetas)))
    # the inputs of Dense are the 5 x 5 x 16 numbers of an expert: the channels are what is joined
    dense = np.concatenate([W.reshape(5, 5, 16, 2) for W in W3], 2).reshape(-1, 2)
    first, second = np.concatenate(W1, 3), np.concatenate(W2, 3)
    pairs = [(first, np.concatenate(b1)), (second, np.concatenate(b2)), (dense, sum(b3))]
    return several.pack(pairs)


def train(path, rounds=2, seed=0):
    """Export a network of 25 x 25 grey pixels; returns the share of held out patches it knows."""
    random = np.random.default_rng(seed)
    faces, others = np.split(data.lfw_subset(), 2)
    yes = normal(list(varied(faces[:80], 24, random)))
    no = [normal(list(varied(others[:80], 2, random)))]
    photographs = [grey(load()) for load in WITHOUT_FACES.values()]
    net, whole = network(1), network(EXPERTS)
    thetas = [net.init(seed + k) for k in range(EXPERTS)]
    whole.export(side_by_side(thetas), path)
    for k in range(rounds + 1):
        for photograph in photographs:
            scanner = Scanner(path, *photograph.shape)
            boxes = scanner.scan(photograph, 36) if k else anywhere(photograph, 300, random)
            no += [scanner.window(photograph, *box[1:])[None] for box in boxes[:300]]
        Z = np.concatenate([yes, *no]).reshape(-1, SIDE, SIDE, 1)
        y = np.repeat([1, 0], [len(yes), len(Z) - len(yes)])
        f = Objective(net, Z, y, loss="softmax", C=300)
        thetas = [minimize(f, theta, max_iterations=50).theta for theta in thetas]
        whole.export(side_by_side(thetas), path, images=64)
    print(f"trained: {whole.n} parameters, {len(yes)} faces, {len(Z) - len(yes)} others")
    held = normal(np.concatenate([faces[80:], others[80:]])).reshape(-1, SIDE, SIDE, 1)
    return np.mean(whole.predict(side_by_side(thetas), held) == np.repeat([1, 0], 20))


def draw(photograph, boxes, path):
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    figure, axes = plt.subplots(figsize=(6, 6 * photograph.shape[0] / photograph.shape[1]))
    axes.imshow(photograph)
    for score, y, x, size in boxes:
        frame = {"fill": False, "edgecolor": "yellow", "linewidth": 2}
        axes.add_patch(plt.Rectangle((x, y), size, size, **frame))
        axes.text(x, y - 5, f"{score:.0f}", color="yellow", weight="bold")
    axes.set_axis_off()
    figure.savefig(path, bbox_inches="tight", dpi=100)


if __name__ == "__main__":
    network_file, picture = (sys.argv[1:] + ["faces.matconv", "found.png"][len(sys.argv) - 1 :])[:2]
    print(f"held out: {100 * train(network_file):.1f} % right")
    image = data.astronaut()
    found = Scanner(network_file, *image.shape[:2]).scan(grey(image), SMALLEST, LEAST)
    print(np.round(found, 1))
    draw(image, found, picture)
