"""The function table of ``matconv/table.h``, which has the argument names and the contracts."""

from ._activation cimport Activation
from ._capi_objectives cimport Given
from ._prediction cimport Poll
from ._frozen cimport Frozen, Shape
from ._geometry cimport Geometry
from ._objective cimport LossName, Objective, ObjectiveShape

cdef extern from "matconv/table.h" nogil:
    const int MATCONV_ABI_VERSION

    ctypedef struct Table "matconv_api":
        int abi_version
        size_t size
        const char *(*status_string)(int) noexcept
        int (*geometry_init)(Geometry *) noexcept
        int (*im2col_f64)(const Geometry *, const double *, double *) noexcept
        int (*im2col_f32)(const Geometry *, const float *, float *) noexcept
        int (*col2im_f64)(const Geometry *, const double *, double *) noexcept
        int (*col2im_f32)(const Geometry *, const float *, float *) noexcept
        int (*bias_activation_f64)(
            Py_ssize_t, Py_ssize_t, const double *, const double *, const Activation *,
            double *) noexcept
        int (*bias_activation_f32)(
            Py_ssize_t, Py_ssize_t, const float *, const float *, const Activation *,
            float *) noexcept
        int (*bias_activation_backward_f64)(
            Py_ssize_t, Py_ssize_t, const double *, const double *, const Activation *, double *,
            double *) noexcept
        int (*bias_activation_backward_f32)(
            Py_ssize_t, Py_ssize_t, const float *, const float *, const Activation *, float *,
            float *) noexcept
        int (*conv_scratch_f64)(const Geometry *, int, Py_ssize_t *, Py_ssize_t *) noexcept
        int (*conv_scratch_f32)(const Geometry *, int, Py_ssize_t *, Py_ssize_t *) noexcept
        int (*conv_forward_f64)(
            const Geometry *, int, const double *, const double *, const double *,
            const Activation *, double *, double *, Py_ssize_t) noexcept
        int (*conv_forward_f32)(
            const Geometry *, int, const float *, const float *, const float *, const Activation *,
            float *, float *, Py_ssize_t) noexcept
        int (*conv_backward_f64)(
            const Geometry *, int, const double *, const double *, const double *, double *,
            double *, double *, double *, Py_ssize_t) noexcept
        int (*conv_backward_f32)(
            const Geometry *, int, const float *, const float *, const float *, float *, float *,
            float *, float *, Py_ssize_t) noexcept
        int (*max_pool_f64)(const Geometry *, const double *, double *, int *) noexcept
        int (*max_pool_f32)(const Geometry *, const float *, float *, int *) noexcept
        int (*max_pool_backward_f64)(
            const Geometry *, const double *, const int *, double *) noexcept
        int (*max_pool_backward_f32)(
            const Geometry *, const float *, const int *, float *) noexcept
        int (*avg_pool_f64)(const Geometry *, const double *, double *) noexcept
        int (*avg_pool_f32)(const Geometry *, const float *, float *) noexcept
        int (*avg_pool_backward_f64)(const Geometry *, const double *, double *) noexcept
        int (*avg_pool_backward_f32)(const Geometry *, const float *, float *) noexcept
        int (*dense_forward_f64)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, const double *, const double *, const double *,
            const Activation *, double *) noexcept
        int (*dense_forward_f32)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, const float *, const float *, const float *,
            const Activation *, float *) noexcept
        int (*dense_backward_f64)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, const double *, const double *, const double *,
            double *, double *, double *, double *, Py_ssize_t) noexcept
        int (*dense_backward_f32)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, const float *, const float *, const float *,
            float *, float *, float *, float *, Py_ssize_t) noexcept
        int (*network_open)(const char *, Frozen **) noexcept
        int (*network_open_memory)(const void *, size_t, Frozen **) noexcept
        void (*network_close)(Frozen *) noexcept
        int (*network_outputs)(const Frozen *, Py_ssize_t *) noexcept
        int (*network_get_shape)(const Frozen *, Py_ssize_t, Shape *) noexcept
        int (*network_workspace_size)(const Frozen *, Py_ssize_t, Py_ssize_t *) noexcept
        int (*network_predict_f64)(
            const Frozen *, Py_ssize_t, const double *, double **, double *, Py_ssize_t) noexcept
        int (*network_predict_f32)(
            const Frozen *, Py_ssize_t, const float *, float **, float *, Py_ssize_t) noexcept
        int (*network_workspace_size_threads)(
            const Frozen *, Py_ssize_t, int, Py_ssize_t *) noexcept
        int (*network_predict_threads_f64)(
            const Frozen *, Py_ssize_t, const double *, double **, double *, Py_ssize_t, int, Poll,
            void *) noexcept
        int (*network_predict_threads_f32)(
            const Frozen *, Py_ssize_t, const float *, float **, float *, Py_ssize_t, int, Poll,
            void *) noexcept
        int (*lrn_f64)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, double, double, double, const double *, double *,
            double *) noexcept
        int (*lrn_f32)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, double, double, double, const float *, float *,
            float *) noexcept
        int (*lrn_backward_f64)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, double, double, double, const double *,
            const double *, double *, double *) noexcept
        int (*lrn_backward_f32)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, double, double, double, const float *,
            const float *, float *, float *) noexcept
        int (*conv_transpose_scratch_f64)(
            const Geometry *, int, Py_ssize_t *, Py_ssize_t *) noexcept
        int (*conv_transpose_scratch_f32)(
            const Geometry *, int, Py_ssize_t *, Py_ssize_t *) noexcept
        int (*conv_transpose_forward_f64)(
            const Geometry *, int, const double *, const double *, const double *,
            const Activation *, double *, double *, Py_ssize_t) noexcept
        int (*conv_transpose_forward_f32)(
            const Geometry *, int, const float *, const float *, const float *,
            const Activation *, float *, float *, Py_ssize_t) noexcept
        int (*conv_transpose_backward_f64)(
            const Geometry *, int, const double *, const double *, const double *, double *,
            double *, double *, double *, Py_ssize_t) noexcept
        int (*conv_transpose_backward_f32)(
            const Geometry *, int, const float *, const float *, const float *, float *,
            float *, float *, float *, Py_ssize_t) noexcept
        int (*upsample_f64)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, int,
            const double *, double *) noexcept
        int (*upsample_f32)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, int,
            const float *, float *) noexcept
        int (*upsample_backward_f64)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, int,
            const double *, double *) noexcept
        int (*upsample_backward_f32)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, int,
            const float *, float *) noexcept
        int (*objective_open)(const char *, const LossName *, Py_ssize_t, Objective **) noexcept
        int (*objective_open_memory)(
            const void *, size_t, const LossName *, Py_ssize_t, Objective **) noexcept
        void (*objective_close)(Objective *) noexcept
        int (*objective_get_shape)(const Objective *, ObjectiveShape *) noexcept
        int (*objective_workspace_size)(
            const Objective *, Py_ssize_t, Py_ssize_t *, Py_ssize_t *) noexcept
        int (*objective_get_theta_f64)(const Objective *, double *) noexcept
        int (*objective_get_theta_f32)(const Objective *, float *) noexcept
        int (*objective_gradient_f64)(
            const Objective *, const double *, const Given *, const double *, const double *,
            double *, double *, double *, Py_ssize_t, Poll, void *) noexcept
        int (*objective_gradient_f32)(
            const Objective *, const float *, const Given *, const float *, const float *,
            double *, float *, float *, Py_ssize_t, Poll, void *) noexcept
        int (*objective_jvp_f64)(
            const Objective *, const double *, Py_ssize_t, const double *, const double *,
            double *, double *, Py_ssize_t, Poll, void *) noexcept
        int (*objective_jvp_f32)(
            const Objective *, const float *, Py_ssize_t, const float *, const float *, float *,
            float *, Py_ssize_t, Poll, void *) noexcept
        int (*objective_vjp_f64)(
            const Objective *, const double *, Py_ssize_t, const double *, const double *,
            double *, double *, Py_ssize_t, Poll, void *) noexcept
        int (*objective_vjp_f32)(
            const Objective *, const float *, Py_ssize_t, const float *, const float *, float *,
            float *, Py_ssize_t, Poll, void *) noexcept
        int (*objective_gauss_newton_f64)(
            const Objective *, const double *, const Given *, const double *, const double *,
            const double *, double *, double *, Py_ssize_t, Poll, void *) noexcept
        int (*objective_gauss_newton_f32)(
            const Objective *, const float *, const Given *, const float *, const float *,
            const float *, float *, float *, Py_ssize_t, Poll, void *) noexcept
