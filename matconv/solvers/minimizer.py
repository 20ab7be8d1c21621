"""minimize, the entry point, and METHODS, the list of all methods."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from ..arguments import as_count
from ..kernels._guard import guarded
from ..objective import Objective
from .lbfgs import L_BFGS_B
from .lbfgs import METHOD as LBFGS
from .method import Method
from .newton import METHOD as NEWTON
from .progress import Progress
from .result import Result
from .run import Callback, Run
from .scipy_methods import NEWTON_CG, TRUST_CONSTR, TRUST_KRYLOV, TRUST_NCG
from .sgd import METHOD as SGD

# every method of `minimize`, by name
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        LBFGS,
        SGD,
        NEWTON,
        TRUST_NCG,
        TRUST_KRYLOV,
        NEWTON_CG,
        TRUST_CONSTR,
        L_BFGS_B,
    )
}


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
    """Minimise f(theta), starting at theta0.

    Parameters
    ----------
    objective : Objective
    theta0 : array, shape (n,)
        In the network's dtype; not changed.
    method : str
        Name of a method, see Notes.
    max_iterations : int
        Maximum number of iterations. For a method with mini-batches the number of epochs, in each
        of which every image is used once.
    callback : callable, optional
        Called with a `State` after every iteration. It may return a dict that is added to the
        entry of the iteration in the history, or raise StopIteration to end the minimisation.
    progress : bool or text file
        File to which a line is written after each iteration; True for standard error. If standard
        error is a terminal and tqdm is installed, there is a progress bar as well. Lists that the
        callback returns are not shown.
    start : int
        Number of earlier iterations that led to theta0. Iterations are counted from it, and the
        order of the images and schedules continue from it. (A velocity begins with 0.)
    on_step : callable, optional
        Called with the `Run` between two steps, also within an epoch, and after every iteration.
        ``run.result(message)`` is the `Result` so far, for instance to save it. Exceptions are
        propagated.
    **options
        Options of the method, see Notes.

    Returns
    -------
    Result
        Also after Ctrl-C, with ``interrupted=True`` and theta of the last complete step.

        For a method with mini-batches, f and the gradient in the history are means over the batches
        of the epoch, each computed at the theta of its step, so that no additional pass over the
        images is needed. f of a batch includes the whole term theta'theta/(2C). Batches are
        weighted by ``total_weight``, without weights by their images; a batch without labelled
        images makes no step.

    Raises
    ------
    TypeError, ValueError
        If an argument is unknown or invalid; raised before anything is computed.
    TrainingError
        If f or its gradient is not finite (where steps are shortened: however short the step is).
    Exception
        Exceptions of the callback are propagated.

    An exception that is raised after the first step has an attribute ``result``, the `Result` at
    the last complete step.

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
    known = METHODS[method]
    options = known.check(options)
    theta = objective.net.as_theta(theta0)
    lines = None if progress is False else sys.stderr if progress is True else progress
    run = Run(method, theta, callback, Progress(lines, known.iteration), start, on_step)
    try:
        # guarded: the bits of the methods' own sums must not depend on the number of BLAS threads
        message, converged = guarded(known.function, objective, run, max_iterations, **options)
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


def _with_methods(documentation: str) -> str:
    """Return the docstring of `minimize` with a section on the methods before the examples."""
    text, examples, rest = inspect.cleandoc(documentation).partition("\nExamples\n--------\n")
    methods = "\n\n".join(method.documentation for method in METHODS.values())
    return f"{text}\nNotes\n-----\nThe methods and their options:\n\n{methods}\n{examples}{rest}"


if minimize.__doc__ is not None:  # None with python -OO
    minimize.__doc__ = _with_methods(minimize.__doc__)
