"""An application to freeze: it uses each part of matconv that PyInstaller finds differently."""

import sys

import numpy as np

import matconv
from matconv.cli import main
from matconv.data import load_digits

assert sys.frozen
random = np.random.default_rng(0)
Z, W = random.standard_normal((4, 26, 26, 16)), random.standard_normal((16, 3, 3, 32))
S = matconv.conv2d(Z, W)  # Winograd's algorithm, from the folder of a variant
np.testing.assert_allclose(S, matconv.conv2d(Z, W, algorithm="im2col"), rtol=0, atol=1e-10)
print(f"convolved: {S.size} outputs, {matconv.kernels.variant}")
print(f"built: {len(matconv.kernels.built)} {' '.join(matconv.kernels.built)}")
print(f"module: {sys.modules['matconv.kernels._winograd'].__file__}")

digits = load_digits()
layers = [matconv.Conv(8, 3, pad=1, activation="relu"), matconv.MaxPool(2), matconv.Dense(10)]
net = matconv.Network((8, 8, 1), layers)
f = matconv.Objective(net, digits.Z_train, digits.y_train, loss="softmax", C=1000)
theta = net.init(seed=0)
result = matconv.minimize(f, theta, max_iterations=2, progress=False)
assert f(result.theta) < f(theta)
print(f"trained: {result.iterations} iterations")

net.export(result.theta, "digits.matconv")
predictor = matconv.load_predictor("digits.matconv")
outputs = net.forward(result.theta, digits.Z_test)
np.testing.assert_allclose(predictor(digits.Z_test), outputs, rtol=1e-12, atol=1e-12)
print(f"predicted: {len(outputs)} images")

submodules = [name for name in dir(matconv) if hasattr(getattr(matconv, name), "__spec__")]
print(f"submodules: {len(submodules)}, P_phi {matconv.phi.P_phi((4, 4, 1), 2).shape}")
assert main(["info"]) == 0
assert main(["train", "--iterations", "2", "--output", "m.npz"]) == 0
