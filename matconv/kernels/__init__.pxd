"""matconv for Cython: the functions of ``matconv/matconv.h``, without the prefix ``matconv_``.

    from matconv.kernels cimport (
        AUTO, Geometry, check_status, conv_forward_f64, geometry_default, geometry_init,
        import_matconv,
    )

    import_matconv()        # once, at the top of the module

Compile with ``include_dirs=[matconv.get_include()]``. After the import no function needs the GIL;
``network_predict_threads_*`` acquire it themselves. Functions return a status, for which
`check_status` raises. ``matconv/table.h`` has the contract of each function: shapes, IN, OUT,
SCRATCH, and which arguments may be NULL.
"""

cdef extern from "matconv/matconv.h" nogil:
    enum:
        OK "MATCONV_OK"
        SIZE "MATCONV_SIZE"
        KERNEL "MATCONV_KERNEL"
        GROUPS "MATCONV_GROUPS"
        OVERFLOW "MATCONV_OVERFLOW"
        BLAS_INT "MATCONV_BLAS_INT"
        STRUCT "MATCONV_STRUCT"
        NULL_POINTER "MATCONV_NULL"
        SCRATCH "MATCONV_SCRATCH"
        ALGORITHM "MATCONV_ALGORITHM"
        PADDING "MATCONV_PADDING"
        INDEX "MATCONV_INDEX"
        DTYPE "MATCONV_DTYPE"
        FORMAT "MATCONV_FORMAT"
        VERSION "MATCONV_VERSION"
        MEMORY "MATCONV_MEMORY"
        UNREADABLE "MATCONV_UNREADABLE"
        ACTIVATION "MATCONV_ACTIVATION"
        INTERRUPTED "MATCONV_INTERRUPTED"
        LOSS "MATCONV_LOSS"
        TARGET "MATCONV_TARGET"
        DERIVATIVE "MATCONV_DERIVATIVE"
        AUTO "MATCONV_AUTO"
        IM2COL "MATCONV_IM2COL"
        WINOGRAD "MATCONV_WINOGRAD"
        ACTIVATION_NONE "MATCONV_ACTIVATION_NONE"
        RELU "MATCONV_RELU"
        LEAKY_RELU "MATCONV_LEAKY_RELU"
        CLIP "MATCONV_CLIP"
        SIGMOID "MATCONV_SIGMOID"
        TANH "MATCONV_TANH"
        SOFTPLUS "MATCONV_SOFTPLUS"
        ELU "MATCONV_ELU"
        HARD_SIGMOID "MATCONV_HARD_SIGMOID"
        SILU "MATCONV_SILU"
        HARD_SWISH "MATCONV_HARD_SWISH"
        GELU "MATCONV_GELU"
        NEAREST "MATCONV_NEAREST"
        BILINEAR "MATCONV_BILINEAR"
        BILINEAR_ALIGNED "MATCONV_BILINEAR_ALIGNED"

    ctypedef struct Geometry "matconv_geometry":
        size_t struct_size
        Py_ssize_t images, height, width, channels, filters, groups
        Py_ssize_t kernel_height, kernel_width, stride_down, stride_right
        Py_ssize_t pad_top, pad_bottom, pad_left, pad_right, dilation_down, dilation_right
        Py_ssize_t out_height, out_width, group_channels, group_filters, column_length

    ctypedef struct Activation "matconv_activation":
        int code
        double alpha, beta

    ctypedef struct Network "matconv_network":
        pass

    ctypedef struct NetworkShape "matconv_network_shape":
        size_t struct_size
        Py_ssize_t height, width, channels, out_height, out_width, out_channels, item_size

    ctypedef struct Objective "matconv_objective":
        pass

    ctypedef struct Loss "matconv_loss":
        size_t struct_size
        const char *name
        double parameter
        int positions

    ctypedef struct ObjectiveShape "matconv_objective_shape":
        size_t struct_size
        Py_ssize_t height, width, channels, out_height, out_width, out_channels
        Py_ssize_t parameters, item_size

    ctypedef struct Samples "matconv_samples":
        size_t struct_size
        Py_ssize_t images
        const Py_ssize_t *labels
        const double *weights
        double divisor

    ctypedef int (*Poll "matconv_poll")(void *argument) noexcept

    # Stride, dilation and groups 1, everything else 0. OUT: g.
    void geometry_default "matconv_geometry_default"(Geometry *g) noexcept
    const char *status_string "matconv_status_string"(int status) noexcept
    int geometry_init "matconv_geometry_init"(Geometry *g) noexcept
    int im2col_f64 "matconv_im2col_f64"(const Geometry *g, const double *Z, double *phi) noexcept
    int im2col_f32 "matconv_im2col_f32"(const Geometry *g, const float *Z, float *phi) noexcept
    int col2im_f64 "matconv_col2im_f64"(const Geometry *g, const double *phi, double *Z) noexcept
    int col2im_f32 "matconv_col2im_f32"(const Geometry *g, const float *phi, float *Z) noexcept
    int bias_activation_f64 "matconv_bias_activation_f64"(
        Py_ssize_t rows, Py_ssize_t channels, const double *S, const double *b,
        const Activation *activation, double *Z
    ) noexcept
    int bias_activation_f32 "matconv_bias_activation_f32"(
        Py_ssize_t rows, Py_ssize_t channels, const float *S, const float *b,
        const Activation *activation, float *Z
    ) noexcept
    int bias_activation_backward_f64 "matconv_bias_activation_backward_f64"(
        Py_ssize_t rows, Py_ssize_t channels, const double *dZ, const double *Z,
        const Activation *activation, double *dS, double *db
    ) noexcept
    int bias_activation_backward_f32 "matconv_bias_activation_backward_f32"(
        Py_ssize_t rows, Py_ssize_t channels, const float *dZ, const float *Z,
        const Activation *activation, float *dS, float *db
    ) noexcept
    int conv_scratch_f64 "matconv_conv_scratch_f64"(
        const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
    ) noexcept
    int conv_scratch_f32 "matconv_conv_scratch_f32"(
        const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
    ) noexcept
    int conv_forward_f64 "matconv_conv_forward_f64"(
        const Geometry *g, int algorithm, const double *Z, const double *W, const double *b,
        const Activation *activation, double *S, double *scratch, Py_ssize_t scratch_size
    ) noexcept
    int conv_forward_f32 "matconv_conv_forward_f32"(
        const Geometry *g, int algorithm, const float *Z, const float *W, const float *b,
        const Activation *activation, float *S, float *scratch, Py_ssize_t scratch_size
    ) noexcept
    int conv_backward_f64 "matconv_conv_backward_f64"(
        const Geometry *g, int algorithm, const double *dS, const double *Z, const double *W,
        double *dZ, double *dW, double *db, double *scratch, Py_ssize_t scratch_size
    ) noexcept
    int conv_backward_f32 "matconv_conv_backward_f32"(
        const Geometry *g, int algorithm, const float *dS, const float *Z, const float *W,
        float *dZ, float *dW, float *db, float *scratch, Py_ssize_t scratch_size
    ) noexcept
    int max_pool_f64 "matconv_max_pool_f64"(
        const Geometry *g, const double *Z, double *S, int *indices
    ) noexcept
    int max_pool_f32 "matconv_max_pool_f32"(
        const Geometry *g, const float *Z, float *S, int *indices
    ) noexcept
    int max_pool_backward_f64 "matconv_max_pool_backward_f64"(
        const Geometry *g, const double *dS, const int *indices, double *dZ
    ) noexcept
    int max_pool_backward_f32 "matconv_max_pool_backward_f32"(
        const Geometry *g, const float *dS, const int *indices, float *dZ
    ) noexcept
    int avg_pool_f64 "matconv_avg_pool_f64"(const Geometry *g, const double *Z, double *S) noexcept
    int avg_pool_f32 "matconv_avg_pool_f32"(const Geometry *g, const float *Z, float *S) noexcept
    int avg_pool_backward_f64 "matconv_avg_pool_backward_f64"(
        const Geometry *g, const double *dS, double *dZ
    ) noexcept
    int avg_pool_backward_f32 "matconv_avg_pool_backward_f32"(
        const Geometry *g, const float *dS, float *dZ
    ) noexcept
    int dense_forward_f64 "matconv_dense_forward_f64"(
        Py_ssize_t images, Py_ssize_t inputs, Py_ssize_t units, const double *Z, const double *W,
        const double *b, const Activation *activation, double *S
    ) noexcept
    int dense_forward_f32 "matconv_dense_forward_f32"(
        Py_ssize_t images, Py_ssize_t inputs, Py_ssize_t units, const float *Z, const float *W,
        const float *b, const Activation *activation, float *S
    ) noexcept
    int dense_backward_f64 "matconv_dense_backward_f64"(
        Py_ssize_t images, Py_ssize_t inputs, Py_ssize_t units, const double *dS, const double *Z,
        const double *W, double *dZ, double *dW, double *db, double *scratch,
        Py_ssize_t scratch_size
    ) noexcept
    int dense_backward_f32 "matconv_dense_backward_f32"(
        Py_ssize_t images, Py_ssize_t inputs, Py_ssize_t units, const float *dS, const float *Z,
        const float *W, float *dZ, float *dW, float *db, float *scratch, Py_ssize_t scratch_size
    ) noexcept
    int network_open "matconv_network_open"(const char *path, Network **network) noexcept
    int network_open_memory "matconv_network_open_memory"(
        const void *data, size_t size, Network **network
    ) noexcept
    void network_close "matconv_network_close"(Network *network) noexcept
    int network_outputs "matconv_network_outputs"(
        const Network *network, Py_ssize_t *outputs
    ) noexcept
    int network_get_shape "matconv_network_get_shape"(
        const Network *network, Py_ssize_t output, NetworkShape *shape
    ) noexcept
    int network_workspace_size "matconv_network_workspace_size"(
        const Network *network, Py_ssize_t images, Py_ssize_t *scratch_size
    ) noexcept
    int network_predict_f64 "matconv_network_predict_f64"(
        const Network *network, Py_ssize_t images, const double *Z, double **outputs,
        double *scratch, Py_ssize_t scratch_size
    ) noexcept
    int network_predict_f32 "matconv_network_predict_f32"(
        const Network *network, Py_ssize_t images, const float *Z, float **outputs,
        float *scratch, Py_ssize_t scratch_size
    ) noexcept
    int network_workspace_size_threads "matconv_network_workspace_size_threads"(
        const Network *network, Py_ssize_t images, int threads, Py_ssize_t *scratch_size
    ) noexcept
    int network_predict_threads_f64 "matconv_network_predict_threads_f64"(
        const Network *network, Py_ssize_t images, const double *Z, double **outputs,
        double *scratch, Py_ssize_t scratch_size, int threads, Poll poll, void *poll_argument
    ) noexcept
    int network_predict_threads_f32 "matconv_network_predict_threads_f32"(
        const Network *network, Py_ssize_t images, const float *Z, float **outputs,
        float *scratch, Py_ssize_t scratch_size, int threads, Poll poll, void *poll_argument
    ) noexcept
    int lrn_f64 "matconv_lrn_f64"(
        Py_ssize_t rows, Py_ssize_t channels, Py_ssize_t size, double k, double alpha, double beta,
        const double *Z, double *S, double *scratch
    ) noexcept
    int lrn_f32 "matconv_lrn_f32"(
        Py_ssize_t rows, Py_ssize_t channels, Py_ssize_t size, double k, double alpha, double beta,
        const float *Z, float *S, float *scratch
    ) noexcept
    int lrn_backward_f64 "matconv_lrn_backward_f64"(
        Py_ssize_t rows, Py_ssize_t channels, Py_ssize_t size, double k, double alpha, double beta,
        const double *dS, const double *Z, double *dZ, double *scratch
    ) noexcept
    int lrn_backward_f32 "matconv_lrn_backward_f32"(
        Py_ssize_t rows, Py_ssize_t channels, Py_ssize_t size, double k, double alpha, double beta,
        const float *dS, const float *Z, float *dZ, float *scratch
    ) noexcept
    int conv_transpose_scratch_f64 "matconv_conv_transpose_scratch_f64"(
        const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
    ) noexcept
    int conv_transpose_scratch_f32 "matconv_conv_transpose_scratch_f32"(
        const Geometry *g, int algorithm, Py_ssize_t *forward, Py_ssize_t *backward
    ) noexcept
    int conv_transpose_forward_f64 "matconv_conv_transpose_forward_f64"(
        const Geometry *g, int algorithm, const double *Z, const double *W, const double *b,
        const Activation *activation, double *S, double *scratch, Py_ssize_t scratch_size
    ) noexcept
    int conv_transpose_forward_f32 "matconv_conv_transpose_forward_f32"(
        const Geometry *g, int algorithm, const float *Z, const float *W, const float *b,
        const Activation *activation, float *S, float *scratch, Py_ssize_t scratch_size
    ) noexcept
    int conv_transpose_backward_f64 "matconv_conv_transpose_backward_f64"(
        const Geometry *g, int algorithm, const double *dS, const double *Z, const double *W,
        double *dZ, double *dW, double *db, double *scratch, Py_ssize_t scratch_size
    ) noexcept
    int conv_transpose_backward_f32 "matconv_conv_transpose_backward_f32"(
        const Geometry *g, int algorithm, const float *dS, const float *Z, const float *W,
        float *dZ, float *dW, float *db, float *scratch, Py_ssize_t scratch_size
    ) noexcept
    int upsample_f64 "matconv_upsample_f64"(
        Py_ssize_t images, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels,
        Py_ssize_t factor_down, Py_ssize_t factor_right, int method, const double *Z,
        double *S
    ) noexcept
    int upsample_f32 "matconv_upsample_f32"(
        Py_ssize_t images, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels,
        Py_ssize_t factor_down, Py_ssize_t factor_right, int method, const float *Z,
        float *S
    ) noexcept
    int upsample_backward_f64 "matconv_upsample_backward_f64"(
        Py_ssize_t images, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels,
        Py_ssize_t factor_down, Py_ssize_t factor_right, int method, const double *dS,
        double *dZ
    ) noexcept
    int upsample_backward_f32 "matconv_upsample_backward_f32"(
        Py_ssize_t images, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels,
        Py_ssize_t factor_down, Py_ssize_t factor_right, int method, const float *dS,
        float *dZ
    ) noexcept
    int objective_open "matconv_objective_open"(
        const char *path, const Loss *loss, Py_ssize_t output, Objective **objective
    ) noexcept
    int objective_open_memory "matconv_objective_open_memory"(
        const void *data, size_t size, const Loss *loss, Py_ssize_t output, Objective **objective
    ) noexcept
    void objective_close "matconv_objective_close"(Objective *objective) noexcept
    int objective_get_shape "matconv_objective_get_shape"(
        const Objective *objective, ObjectiveShape *shape
    ) noexcept
    int objective_workspace_size "matconv_objective_workspace_size"(
        const Objective *objective, Py_ssize_t images, Py_ssize_t *gradient_size,
        Py_ssize_t *product_size
    ) noexcept
    int objective_get_theta_f64 "matconv_objective_get_theta_f64"(
        const Objective *objective, double *theta
    ) noexcept
    int objective_get_theta_f32 "matconv_objective_get_theta_f32"(
        const Objective *objective, float *theta
    ) noexcept
    int objective_gradient_f64 "matconv_objective_gradient_f64"(
        const Objective *objective, const double *theta, const Samples *samples, const double *Z,
        const double *targets, double *value, double *gradient, double *scratch,
        Py_ssize_t scratch_size, Poll poll, void *poll_argument
    ) noexcept
    int objective_gradient_f32 "matconv_objective_gradient_f32"(
        const Objective *objective, const float *theta, const Samples *samples, const float *Z,
        const float *targets, double *value, float *gradient, float *scratch,
        Py_ssize_t scratch_size, Poll poll, void *poll_argument
    ) noexcept
    int objective_jvp_f64 "matconv_objective_jvp_f64"(
        const Objective *objective, const double *theta, Py_ssize_t images, const double *Z,
        const double *direction, double *tz, double *scratch, Py_ssize_t scratch_size, Poll poll,
        void *poll_argument
    ) noexcept
    int objective_jvp_f32 "matconv_objective_jvp_f32"(
        const Objective *objective, const float *theta, Py_ssize_t images, const float *Z,
        const float *direction, float *tz, float *scratch, Py_ssize_t scratch_size, Poll poll,
        void *poll_argument
    ) noexcept
    int objective_vjp_f64 "matconv_objective_vjp_f64"(
        const Objective *objective, const double *theta, Py_ssize_t images, const double *Z,
        const double *dz, double *dtheta, double *scratch, Py_ssize_t scratch_size, Poll poll,
        void *poll_argument
    ) noexcept
    int objective_vjp_f32 "matconv_objective_vjp_f32"(
        const Objective *objective, const float *theta, Py_ssize_t images, const float *Z,
        const float *dz, float *dtheta, float *scratch, Py_ssize_t scratch_size, Poll poll,
        void *poll_argument
    ) noexcept
    int objective_gauss_newton_f64 "matconv_objective_gauss_newton_f64"(
        const Objective *objective, const double *theta, const Samples *samples, const double *Z,
        const double *targets, const double *direction, double *product, double *scratch,
        Py_ssize_t scratch_size, Poll poll, void *poll_argument
    ) noexcept
    int objective_gauss_newton_f32 "matconv_objective_gauss_newton_f32"(
        const Objective *objective, const float *theta, const Samples *samples, const float *Z,
        const float *targets, const float *direction, float *product, float *scratch,
        Py_ssize_t scratch_size, Poll poll, void *poll_argument
    ) noexcept

cdef extern from "matconv/matconv.h":
    # Import the function table. Raises ImportError if the installed matconv is older than the
    # header.
    int import_matconv "matconv_import"() except -1


# Raise an exception for a status that is not OK; acquires the GIL only then. Returns 0.
cdef inline int check_status(int status) except -1 nogil:
    if status != OK:
        raise_for(status)
    return 0


# Raise the exception for a status that is not OK.
cdef inline int raise_for(int status) except -1 with gil:
    message = status_string(status).decode()
    if status == MEMORY:
        raise MemoryError(f"matconv: {message}")
    if status == OVERFLOW or status == BLAS_INT:
        raise OverflowError(f"matconv: {message}")
    if status == UNREADABLE:
        raise OSError(f"matconv: {message}")
    raise ValueError(f"matconv: {message}")
