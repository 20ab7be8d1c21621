"""minimize: one door for every method."""

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
        Of the network's dtype; stays as it is.
    method : {"lbfgs", "sgd"}
        "lbfgs": L-BFGS, on f over all images. "sgd": gradient descent on f over mini-batches
        (its term theta'theta/(2C), the weight decay, is in every batch's f).
    max_iterations : int
        For "sgd", epochs: every image is used once in each.
    callback : callable, optional
        Called with a `State` after every iteration. It may return a dict to be added to the
        iteration's entry of the history, and may raise StopIteration to end the minimisation.
    progress : bool or text file
        True: one line per iteration on standard error. A file: there. Where standard error is a
        terminal and tqdm is installed, a bar as well.
    start : int
        Iterations that were made before, when theta0 is what they gave: the counting goes on
        from there, and so do the shuffles and the schedule of "sgd" (not its velocity).
    on_step : callable, optional
        Called with the `Run` between two steps, of "sgd" also between two batches, and after
        every iteration: its method ``result(message)`` gives the `Result` so far, to be saved.
        An exception goes through, as the callback's does.
    **options
        "lbfgs": ``memory`` (10), pairs of vectors that model the curvature; ``gtol`` (1e-5) and
        ``ftol`` (1e-9), to end when no entry of the gradient, or no relative decrease of f, is
        larger.

        "sgd": ``batch_size`` (64), the last batch of an epoch may be smaller; ``learning_rate``
        (0.02); ``momentum`` (0.9), ``nesterov`` (False); ``schedule`` ("constant", "step",
        "cosine" or a function of the part of the training that is done, 0 <= t < 1), a factor
        for the learning rate; ``seed`` of the shuffles, the same seed gives the same bits.

    Returns
    -------
    Result
        Ctrl-C also ends here, with ``interrupted=True`` and theta of the last whole step.

        In the history of "sgd", f and the gradient are the means over the batches of the epoch,
        each batch at the theta it met: what f and its gradient were on the way, without another
        pass over the images.

    Raises
    ------
    TypeError, ValueError
        For an argument out of range, before anything is computed.
    TrainingError
        If f or its gradient is not finite (for "lbfgs": and stays so however short the step).
    Exception
        Whatever the callback raises goes through.

    An exception after the first step carries, in its attribute ``result``, the `Result` up to
    the last whole step: nothing that was learnt is lost.

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
        # the methods' own sums over theta: BLAS would have other bits on other numbers of threads
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
