"""Items that several threads evaluate, and whose results are consumed in order."""

from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Work(Generic[Item, Result]):
    """``consume(evaluate(item))`` for each item, by whichever threads call `run`.

    Each thread takes the next item. The results are consumed in the order of the items, one at a
    time, by the thread that has finished the one that is due.

    Parameters
    ----------
    evaluate, consume : callable
    items : list
    most : int, optional
        Items that are under way, wait or are being consumed; any number when left out.
    """

    def __init__(
        self,
        evaluate: Callable[[Item], Result],
        consume: Callable[[Result], object],
        items: list[Item],
        most: int | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._consume = consume
        self._items = items
        self._most = len(items) if most is None else most
        self._taken = 0
        self._consumed = 0
        self._results: dict[int, Result] = {}
        self._errors: dict[int, BaseException] = {}
        self._stopped = False
        self._changed = Condition()

    def run(self) -> None:
        """Evaluate until there is nothing left to take, or anything has raised."""
        while (k := self._take()) is not None:
            try:
                result = self._evaluate(self._items[k])
                with self._changed:
                    self._results[k] = result
                self._consume_what_is_due()
            except BaseException as error:  # noqa: BLE001 - `raise_errors` raises it
                self._errors[k] = error
                self.stop()

    def finish(self) -> None:
        """Wait until all is consumed, or anything has raised."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._consumed == len(self._items))

    def stop(self) -> None:
        """Nothing more is taken."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def raise_errors(self) -> None:
        """What has been raised, once no thread runs: of errors that of the first item.

        What is no Exception, such as Ctrl-C, comes before all of them.
        """
        errors, self._errors = self._errors, {}
        order = sorted((isinstance(error, Exception), k) for k, error in errors.items())
        if order:
            raise errors.pop(order[0][1])

    def _take(self) -> int | None:
        """The next item; None when there is none."""
        with self._changed:
            while not self._over() and self._taken - self._consumed >= self._most:
                self._changed.wait()
            if self._over():
                return None
            self._taken += 1
            return self._taken - 1

    def _over(self) -> bool:
        return self._stopped or self._taken == len(self._items)

    def _consume_what_is_due(self) -> None:
        while True:
            with self._changed:
                # while one is being consumed, by another thread, the next is not due yet
                if self._consumed not in self._results:
                    return
                result = self._results.pop(self._consumed)
            self._consume(result)
            with self._changed:
                self._consumed += 1
                self._changed.notify_all()
