"""Train a narrow AlexNet, with LRN, groups and dropout, on enlarged digits; print f and accuracy.

    python tests/reliability/alexnet.py [EPOCHS]

The paper's recipe: momentum 0.9, a decay of 0.0005, a learning rate that is divided by 10 three
times. The exit status is 1 if f does not fall or the accuracy is below 95 %.
"""

import sys
import time

import numpy as np

from matconv import Objective, minimize, presets
from matconv.data import load_digits

ENLARGED = 17  # 8 x 8 pixels become 136 x 136


def enlarged(Z):
    """Each pixel as a square of pixels, from 0 to 255, in float32."""
    return 255 * Z.repeat(ENLARGED, 1).repeat(ENLARGED, 2).astype(np.float32)


def steps(t):
    """Factor of the learning rate: divided by 10 after 70, 85 and 95 % of the training."""
    return 0.1 ** sum(t >= end for end in (0.7, 0.85, 0.95))


def train(epochs):
    """Return f of each epoch, with dropout, and the accuracy on the test images."""
    digits = load_digits()
    Z, Z_test = enlarged(digits.Z_train), enlarged(digits.Z_test)
    mean = Z.mean(0)
    net = presets.alexnet("paper", 10, Z.shape[1:], np.float32, width=0.125)
    f = Objective(net, Z - mean, digits.y_train, "softmax", C=2000)
    began = time.perf_counter()

    def report(state):
        right = (net.predict(state.theta, Z_test - mean) == digits.y_test).mean()
        seconds = time.perf_counter() - began
        print(
            f"epoch {state.iteration:3}  f {state.f:.4f}  test accuracy {right:.4f}  {seconds:.0f} s"
        )
        return {"accuracy": right}

    result = minimize(
        f, net.init(0), "sgd", epochs, report, batch_size=64, learning_rate=0.01, momentum=0.9,
        schedule=steps, seed=0,
    )  # fmt: skip
    return [entry["f"] for entry in result.history], result.history[-1]["accuracy"]


if __name__ == "__main__":
    f, accuracy = train(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    sys.exit(not (f[-1] < f[0] / 4 and accuracy > 0.95))
