# cython: language_level=3, boundscheck=False, wraparound=False
"""matconv from Cython: a convolution and a frozen network without the GIL.

The images are cut into parts, and a part is a job: plain memory, with scratch of its own. `run`
takes the jobs one by one, by OpenMP threads or by POSIX threads, which Python knows nothing of.
"""

from cython.parallel cimport prange
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from matconv.kernels cimport (
    MEMORY, OK, STRUCT, Geometry, Network, NetworkShape, check_status, conv_forward_f64,
    conv_scratch_f64, geometry_default, geometry_init, import_matconv, network_close,
    network_get_shape, network_open, network_open_memory, network_predict_f64,
    network_predict_threads_f64, network_workspace_size, network_workspace_size_threads,
)

import os

import_matconv()

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(
        pthread_t *thread, const void *attributes, void *(*work)(void *) noexcept, void *argument
    )
    int pthread_join(pthread_t thread, void **result)

cpdef enum How:
    SERIAL
    OPENMP
    PTHREADS

# Some of the images. IN: all but status and, for its contents, scratch and out.
cdef struct Job:
    Geometry g                  # of a convolution, for the job's images
    int algorithm
    const Network *network      # or else a network
    Py_ssize_t n
    const double *Z
    const double *W
    const double *b
    double *out
    double *scratch
    Py_ssize_t size
    int status


cdef void *convolve(void *argument) noexcept nogil:
    cdef Job *job = <Job *> argument
    job.status = conv_forward_f64(
        &job.g, job.algorithm, job.Z, job.W, job.b, NULL, job.out, job.scratch, job.size
    )
    return NULL


cdef void *predict(void *argument) noexcept nogil:
    cdef Job *job = <Job *> argument
    job.status = network_predict_f64(
        job.network, job.n, job.Z, &job.out, job.scratch, job.size
    )
    return NULL


# All jobs. Returns the status of the first that failed, else OK.
cdef int run(void *(*work)(void *) noexcept nogil, Job *jobs, int count, How how) noexcept nogil:
    cdef pthread_t *threads
    cdef int k, started = 0
    if how == SERIAL:
        for k in range(count):
            work(&jobs[k])
    elif how == OPENMP:
        for k in prange(count, num_threads=count, schedule="static", chunksize=1):
            work(&jobs[k])
    else:
        threads = <pthread_t *> malloc(count * sizeof(pthread_t))
        if threads == NULL:
            return MEMORY
        while started < count and not pthread_create(
            &threads[started], NULL, work, &jobs[started]
        ):
            started += 1
        for k in range(started, count):     # those for which there is no thread
            work(&jobs[k])
        for k in range(started):
            pthread_join(threads[k], NULL)
        free(threads)
    for k in range(count):
        if jobs[k].status != OK:
            return jobs[k].status
    return OK


# `count` jobs with so much scratch each, in one block; NULL: no memory.
cdef Job *new_jobs(int count, Py_ssize_t size) noexcept nogil:
    cdef Job *jobs = <Job *> malloc(count * (sizeof(Job) + (size + 1) * sizeof(double)))
    cdef double *scratch = <double *> (jobs + count)
    cdef int k
    if jobs != NULL:
        memset(jobs, 0, count * sizeof(Job))
        for k in range(count):
            jobs[k].scratch = scratch + k * size
            jobs[k].size = size
            jobs[k].status = STRUCT         # nobody has done it
    return jobs


def conv(
    const double[:, :, :, ::1] Z, const double[:, :, :, ::1] W, const double[::1] b,
    double[:, :, :, ::1] S, Py_ssize_t stride, Py_ssize_t pad, int algorithm, How how, int parts,
):
    """S = W phi(Z) + b 1', the images in so many parts."""
    cdef Geometry g
    cdef Py_ssize_t size = 0, needed = 0, first
    cdef Py_ssize_t l = Z.shape[0]
    cdef Job *jobs
    cdef int k, status
    geometry_default(&g)
    g.images, g.height, g.width, g.channels = l, Z.shape[1], Z.shape[2], Z.shape[3]
    g.filters, g.kernel_height, g.kernel_width = W.shape[3], W.shape[1], W.shape[2]
    g.stride_down = g.stride_right = stride
    g.pad_top = g.pad_bottom = g.pad_left = g.pad_right = pad
    check_status(geometry_init(&g))
    given = W.shape[0], b.shape[0], S.shape[0], S.shape[1], S.shape[2], S.shape[3]
    needed_sizes = g.channels, g.filters, l, g.out_height, g.out_width, g.filters
    if given != needed_sizes or not 0 < parts <= l:
        raise ValueError(f"conv: the arrays do not fit each other, or {parts} parts")
    # AUTO may choose another algorithm for one image more, which may need less
    for g.images in (l // parts, (l + parts - 1) // parts):
        check_status(conv_scratch_f64(&g, algorithm, &needed, NULL))
        size = max(size, needed)
    with nogil:
        jobs = new_jobs(parts, size)
        if jobs == NULL:
            status = MEMORY
        else:
            for k in range(parts):
                first = l * k // parts
                jobs[k].g = g
                jobs[k].g.images = l * (k + 1) // parts - first
                jobs[k].algorithm = algorithm
                jobs[k].Z, jobs[k].W, jobs[k].b = &Z[first, 0, 0, 0], &W[0, 0, 0, 0], &b[0]
                jobs[k].out = &S[first, 0, 0, 0]
            status = run(convolve, jobs, parts, how)
            free(jobs)
    check_status(status)


cdef class Frozen:
    """A network that `Network.export` wrote: of a path, or of the file's bytes."""

    cdef Network *network
    cdef NetworkShape shape

    def __cinit__(self, source):
        cdef const unsigned char[::1] data
        cdef bytes path
        if isinstance(source, bytes):
            data = source
            check_status(network_open_memory(&data[0], len(source), &self.network))
        else:
            path = os.fsencode(source)
            check_status(network_open(path, &self.network))
        self.shape.struct_size = sizeof(NetworkShape)
        check_status(network_get_shape(self.network, 0, &self.shape))

    def __dealloc__(self):
        network_close(self.network)

    def predict(
        self, const double[:, :, :, ::1] images, double[:, ::1] out, How how=SERIAL, int parts=1
    ):
        cdef Py_ssize_t n = images.shape[0]
        cdef Py_ssize_t size = 0, first
        cdef Job *jobs
        cdef int k, status
        cdef Py_ssize_t outputs = (
            self.shape.out_height * self.shape.out_width * self.shape.out_channels
        )
        given = images.shape[1], images.shape[2], images.shape[3], out.shape[0], out.shape[1]
        if given != (self.shape.height, self.shape.width, self.shape.channels, n, outputs):
            raise ValueError("predict: the arrays do not fit the network")
        if not 0 < parts <= n:
            raise ValueError(f"predict: {n} images in {parts} parts")
        check_status(network_workspace_size(self.network, (n + parts - 1) // parts, &size))
        with nogil:
            jobs = new_jobs(parts, size)
            if jobs == NULL:
                status = MEMORY
            else:
                for k in range(parts):
                    first = n * k // parts
                    jobs[k].network = self.network
                    jobs[k].n = n * (k + 1) // parts - first
                    jobs[k].Z = &images[first, 0, 0, 0]
                    jobs[k].out = &out[first, 0]
                status = run(predict, jobs, parts, how)
                free(jobs)
        check_status(status)

    def predict_by_pool(self, const double[:, :, :, ::1] images, double[:, ::1] out, int threads):
        """By the thread pool of matconv."""
        cdef Py_ssize_t size = 0, n = images.shape[0]
        cdef double *scratch
        cdef double *outputs = &out[0, 0]
        cdef int status = MEMORY
        given = images.shape[1], images.shape[2], images.shape[3], out.shape[0], out.shape[1]
        of_network = self.shape.height, self.shape.width, self.shape.channels, n
        if given != (*of_network, self.shape.out_channels) or self.shape.out_height > 1:
            raise ValueError("predict_by_pool: the arrays do not fit the network")
        check_status(network_workspace_size_threads(self.network, n, threads, &size))
        with nogil:
            scratch = <double *> malloc((size + 1) * sizeof(double))
            if scratch != NULL:
                status = network_predict_threads_f64(
                    self.network, n, &images[0, 0, 0, 0], &outputs, scratch, size, threads, NULL,
                    NULL,
                )
            free(scratch)
        check_status(status)
