"""Threads that share the pieces of a call."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.pythread cimport NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock
from libc.string cimport memset

from ._board cimport (
    Board, Helper, Piece, SPIN, Seat, do_not_sleep, left, let_go, ring, take, wait_for_ring,
)
from ._helpers cimport find_helper, give_back
from ._native cimport (
    add, current_process, exchange_pointer, exchange_word, load, load_word, now, pause_cpu, store,
)
from ._watch cimport Watch, watch_forked, watch_stopped
from ._guard cimport need_buffer, pause_products, products_have_begun, resume_products
from ._status cimport INTERRUPTED, OK

cdef enum:
    POLL_INTERVAL = 50_000      # microseconds
    # pieces of one job; more are divided among several
    MAX_PIECES = 1 << 30


cdef Board *new_board(int n_helpers) noexcept:
    cdef Board *board = <Board *> PyMem_RawMalloc(sizeof(Board) + n_helpers * sizeof(Seat))
    if board == NULL:
        return NULL
    memset(board, 0, sizeof(Board))
    board.bell = PyThread_allocate_lock()
    if board.bell == NULL:
        PyMem_RawFree(board)
        return NULL
    PyThread_acquire_lock(board.bell, NOWAIT_LOCK)
    board.references = 1
    board.process = current_process()
    return board


cdef int team_open(Team *team, int n_threads, Watch *watch) except -1:
    cdef Board *board
    cdef Seat *seat
    cdef Helper *helper
    team.board = NULL
    team.watch = watch
    team.size = 1
    need_buffer()
    if n_threads <= 1:
        return 0
    board = new_board(n_threads - 1)
    if board == NULL:
        return 0
    board.watch = watch
    while team.size < n_threads:
        helper = find_helper()
        if helper == NULL:
            break
        seat = &board.seats[team.size - 1]
        seat.board = board
        seat.helper = helper
        seat.participant = team.size
        team.size += 1
        add(&board.references, 1)
        exchange_pointer(&helper.seat, seat)
    board.n_helpers = team.size - 1
    if board.n_helpers == 0:
        let_go(board)
    else:
        team.board = board
    return 0


cdef int team_size(const Team *team) noexcept nogil:
    return 1 if team == NULL else team.size


cdef void team_close(Team *team) noexcept:
    cdef Board *board = team.board
    cdef Helper *helper
    cdef int k
    team.board = NULL
    team.size = 1
    if board == NULL or board.process != current_process():
        return
    store(&board.closed, True)
    for k in range(board.n_helpers):
        helper = board.seats[k].helper
        if exchange_pointer(&helper.seat, NULL) != NULL:
            let_go(board)  # it has never sat down
        give_back(helper)
    let_go(board)


cdef int run_alone(
    Watch *watch, Piece function, void *argument, Py_ssize_t pieces
) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(pieces):
        if watch_stopped(watch, True):
            break
        function(argument, k, 0)
    return INTERRUPTED if watch != NULL and load(&watch.stopped) else OK


cdef void publish(Board *board, int pieces) noexcept nogil:
    cdef unsigned long long epoch = (load_word(&board.state) >> 32) + 1
    cdef Helper *helper
    cdef int k
    board.pieces = pieces
    board.products = products_have_begun()
    store(&board.done, 0)
    exchange_word(&board.state, epoch << 32 | <unsigned int> pieces)
    for k in range(min(board.n_helpers, pieces - 1)):
        helper = board.seats[k].helper
        ring(&helper.sleeping, helper.bell)


# Until helpers have done so many pieces. False: this process is a fork's child without helpers.
cdef bint wait_for_helpers(Board *board, int pieces) noexcept nogil:
    cdef long long since = now()
    cdef int paused
    cdef bint good = True
    while load(&board.done) < pieces:
        if now() - since > SPIN:
            break
        pause_cpu()
    if load(&board.done) == pieces:
        return True
    # a helper may have to wait for a fork, which may not wait for this thread then
    paused = pause_products()
    while good and load(&board.done) < pieces:
        store(&board.sleeping, True)
        if load(&board.done) == pieces:
            do_not_sleep(&board.sleeping, board.bell)
            break
        wait_for_ring(&board.sleeping, board.bell, POLL_INTERVAL)
        good = board.process == current_process()
        if good:
            watch_stopped(board.watch, True)
    resume_products(paused)
    return good


# One job. False as for `wait_for_helpers`.
cdef bint run_job(Board *board, int pieces) noexcept nogil:
    cdef int own = 0
    cdef Py_ssize_t k
    publish(board, pieces)
    while not watch_stopped(board.watch, True):
        k = take(board)
        if k < 0:
            break
        board.function(board.argument, board.first + k, 0)
        own += 1
    # if stopped: nobody takes the rest
    pieces -= left(exchange_word(&board.state, load_word(&board.state) >> 32 << 32))
    return wait_for_helpers(board, pieces - own)


cdef int team_run(Team *team, Piece function, void *argument, Py_ssize_t pieces) noexcept nogil:
    cdef Board *board
    cdef Watch *watch
    cdef int count
    if team == NULL:
        return run_alone(NULL, function, argument, pieces)
    board = team.board
    watch = team.watch
    if board == NULL or pieces <= 1:
        return run_alone(watch, function, argument, pieces)
    board.function = function
    board.argument = argument
    board.first = 0
    while board.first < pieces:
        if watch != NULL and load(&watch.stopped):
            return INTERRUPTED
        count = <int> min(pieces - board.first, <Py_ssize_t> MAX_PIECES)
        if not run_job(board, count):
            watch_forked(watch)
            return INTERRUPTED
        board.first += count
    return INTERRUPTED if watch != NULL and load(&watch.stopped) else OK
