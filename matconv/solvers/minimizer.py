"""minimize: the entry point of all methods."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from ..arguments import as_count
from ..kernels.guard import guarded
from ..objective import Objective
from .lbfgs import lbfgs
from .progress import Progress
from .result import Result
from .run import Callback, Run
from .sgd import sgd

METHODS: dict[str, Callable[..., tuple[str, bool]]] = {"lbfgs": lbfgs, "sgd": sgd}


def minimize(
    objective: Objective,
    theta0: Any,
    method: str = "lbfgs",
    max_iterations: int = 100,
    callback: Callback | None = None,
    progress: bool | TextIO = False,
    start: int = 0,
    on_step: Callable[[Run], None] | None = None,
    **options: Any,
) -> Result:
    """Minimise f(theta) from theta0.

    Parameters
    ----------
    objective : Objective
    theta0 : array, shape (n,)
        Of the network's dtype; not changed.
    method : {"lbfgs", "sgd"}
        "lbfgs": L-BFGS on f over all images. "sgd": gradient descent on f over mini-batches
        (each batch has the whole term theta'theta/(2C), the weight decay).
    max_iterations : int
        For "sgd" the number of epochs, in each of which every image is used once.
    callback : callable, optional
        Called with a `State` after every iteration. It may return a dict, which is added to the
        iteration's entry of the history, or raise StopIteration to end the minimisation.
    progress : bool or text file
        A file, or True for standard error, gets a line for each iteration. If standard error is a
        terminal and tqdm is installed, there is a bar as well.
    start : int
        Number of iterations that led to theta0. They are counted, and the order of the images and
        the schedule of "sgd" continue from there (its velocity begins with 0).
    on_step : callable, optional
        Called with the `Run` between two steps, of "sgd" also between two batches, and after
        every iteration. ``run.result(message)`` is the `Result` so far, for instance to save it.
        Exceptions are propagated.
    **options
        "lbfgs": ``memory`` (10), the number of pairs of vectors that approximate the curvature;
        ``gtol`` (1e-5) and ``ftol`` (1e-9), tolerances for the largest element of the gradient and
        for the relative decrease of f in an iteration.

        "sgd": ``batch_size`` (64), the last batch of an epoch may be smaller; ``learning_rate``
        (0.02); ``momentum`` (0.9), ``nesterov`` (False); ``schedule`` ("constant", "step",
        "cosine" or a function of the part t of the training that is done, 0 <= t < 1), a factor
        of the learning rate; ``seed`` of the order of the images, the same seed gives the same
        bits.

    Returns
    -------
    Result
        Also after Ctrl-C, with ``interrupted=True`` and theta of the last complete step.

        In the history of "sgd", f and the gradient are means over the batches of the epoch, each
        at the theta of its step. They cost no additional pass over the images.

    Raises
    ------
    TypeError, ValueError
        For an argument out of range, before anything is computed.
    TrainingError
        If f or its gradient is not finite ("lbfgs": also for arbitrarily short steps).
    Exception
        Exceptions of the callback are propagated.

    An exception after the first step has an attribute ``result``, the `Result` up to the last
    complete step.

    Examples
    --------
    >>> from matconv import Conv, Dense, Network, Objective, minimize
    >>> from matconv.data import load_digits
    >>> digits = load_digits()
    >>> net = Network((8, 8, 1), [Conv(4, 3, stride=2), Dense(10)])
    >>> f = Objective(net, digits.Z_train, digits.y_train, loss="softmax", C=1000)
    >>> result = minimize(f, net.init(0), max_iterations=20)
    >>> result.message, len(result.history)
    ('20 iterations done', 20)
    >>> bool((net.predict(result.theta, digits.Z_test) == digits.y_test).mean() > 0.9)
    True
    """
    if method not in METHODS:
        raise ValueError(f"minimize: method must be one of {', '.join(METHODS)}, got {method!r}")
    if callback is not None and not callable(callback):
        raise TypeError(f"minimize: callback must be callable or None, got {callback!r}")
    if on_step is not None and not callable(on_step):
        raise TypeError(f"minimize: on_step must be callable or None, got {on_step!r}")
    max_iterations = as_count("max_iterations", max_iterations)
    start = as_count("start", start, minimum=0)
    theta = objective.net.as_theta(theta0)
    lines = None if progress is False else sys.stderr if progress is True else progress
    run = Run(method, theta, callback, Progress(lines), start, on_step)
    try:
        # guarded: the bits of the methods' own sums must not depend on BLAS's number of threads
        message, converged = guarded(METHODS[method], objective, run, max_iterations, **options)
    except KeyboardInterrupt:
        return run.result("interrupted", interrupted=True)
    except Exception as error:
        if run.moved and not hasattr(error, "result"):
            reached = run.result(f"{type(error).__name__}: {error}")
            with suppress(AttributeError):
                error.result = reached  # type: ignore[attr-defined]
        raise
    finally:
        run.progress.close()
    return run.result(message, converged)
