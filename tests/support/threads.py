"""Functions called on several threads at once."""

import threading


def on_threads(function, arguments):
    """Call a function with each of the arguments, each on its own thread; raise the first error."""
    errors = []

    def call(argument):
        try:
            function(argument)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=call, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class Background:
    """Context manager whose threads call functions again and again until the block ends.

    Leaving the block raises the first error of a function.
    """

    def __init__(self, *functions):
        self._stopped = threading.Event()
        self._errors = []
        self._threads = [threading.Thread(target=self._repeat, args=(f,)) for f in functions]

    def _repeat(self, function):
        try:
            while not self._stopped.is_set():
                function()
        except BaseException as error:  # noqa: BLE001 - raised at the end of the block
            self._errors.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error):
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
