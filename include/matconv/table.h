/* Functions of matconv and their contracts. Clients include <matconv/matconv.h>. */
#ifndef MATCONV_TABLE_H
#define MATCONV_TABLE_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The functions of the library; <matconv/matconv.h> gives them the names matconv_*. Each pair has
 * one contract: _f64 for double, _f32 for float. Shapes are those of C-contiguous arrays.
 *
 * Append-only: an entry is never moved, removed or changed. */
typedef struct matconv_api {
    int abi_version;          /* MATCONV_ABI_VERSION of the library */
    size_t size;              /* bytes of the table of the library */

    /* Return the description of a status code; a string for any integer. */
    const char *(*status_string)(int status);

    /* Check the members that the caller sets, compute the others. INOUT: g. */
    int (*geometry_init)(matconv_geometry *g);

    /* phi(Z), equation (4) of the notes. groups must be 1; filters is ignored.
     * IN: Z (images, height, width, channels).
     * OUT: phi (images, out_height out_width, channels kernel_height kernel_width). */
    int (*im2col_f64)(const matconv_geometry *g, const double *Z, double *phi);
    int (*im2col_f32)(const matconv_geometry *g, const float *Z, float *phi);

    /* The adjoint of im2col: vec(Z) = P_phi' vec(phi). IN: phi. OUT: Z. */
    int (*col2im_f64)(const matconv_geometry *g, const double *phi, double *Z);
    int (*col2im_f32)(const matconv_geometry *g, const float *phi, float *Z);

    /* Z = sigma(S + 1 b').
     * IN: S (rows, channels), b (channels,) or NULL: no bias; activation.
     * OUT: Z (rows, channels), may be S. */
    int (*bias_activation_f64)(ptrdiff_t rows, ptrdiff_t channels, const double *S,
                               const double *b, const matconv_activation *activation, double *Z);
    int (*bias_activation_f32)(ptrdiff_t rows, ptrdiff_t channels, const float *S,
                               const float *b, const matconv_activation *activation, float *Z);

    /* dS = dZ sigma'(S + 1 b'), db = dS' 1. sigma' is computed from Z, the output:
     *     MATCONV_RELU: 0 where Z <= 0, else 1;
     *     MATCONV_LEAKY_RELU: alpha where Z <= 0, else 1;
     *     MATCONV_CLIP: 0 where Z <= alpha or Z >= beta, else 1;
     *     MATCONV_SIGMOID: Z (1 - Z); MATCONV_TANH: 1 - Z^2; MATCONV_SOFTPLUS: 1 - e^-Z;
     *     MATCONV_ELU: Z + alpha where Z <= 0, else 1;
     *     MATCONV_HARD_SIGMOID: 0 where Z <= 0 or Z >= 1, else alpha;
     *     the others are refused.
     * IN: dZ, Z, activation. OUT: dS, may be dZ; db or NULL: not computed. */
    int (*bias_activation_backward_f64)(ptrdiff_t rows, ptrdiff_t channels, const double *dZ,
                                        const double *Z, const matconv_activation *activation,
                                        double *dS, double *db);
    int (*bias_activation_backward_f32)(ptrdiff_t rows, ptrdiff_t channels, const float *dZ,
                                        const float *Z, const matconv_activation *activation,
                                        float *dS, float *db);

    /* Elements of scratch for conv_forward and conv_backward. With an algorithm other than
     * MATCONV_AUTO they are also sufficient for fewer images. OUT: forward, backward, or NULL. */
    int (*conv_scratch_f64)(const matconv_geometry *g, int algorithm, ptrdiff_t *forward,
                            ptrdiff_t *backward);
    int (*conv_scratch_f32)(const matconv_geometry *g, int algorithm, ptrdiff_t *forward,
                            ptrdiff_t *backward);

    /* S = sigma(W phi(Z) + b 1'): equations (1) to (3).
     * IN: Z (images, height, width, channels),
     *     W (group_channels, kernel_height, kernel_width, filters), b (filters,) or NULL: no bias;
     *     activation.
     * OUT: S (images, out_height, out_width, filters). SCRATCH: scratch. */
    int (*conv_forward_f64)(const matconv_geometry *g, int algorithm, const double *Z,
                            const double *W, const double *b,
                            const matconv_activation *activation, double *S, double *scratch,
                            ptrdiff_t scratch_size);
    int (*conv_forward_f32)(const matconv_geometry *g, int algorithm, const float *Z,
                            const float *W, const float *b,
                            const matconv_activation *activation, float *S, float *scratch,
                            ptrdiff_t scratch_size);

    /* vec(dZ) = P_phi' vec(W' dS), dW = sum_i dS^i phi(Z^i)', db = sum_i dS^i 1.
     * IN: dS, the gradient for S = W phi(Z) + b 1'; Z, W.
     * OUT: dZ, dW, db, or NULL: not computed. SCRATCH: scratch. */
    int (*conv_backward_f64)(const matconv_geometry *g, int algorithm, const double *dS,
                             const double *Z, const double *W, double *dZ, double *dW, double *db,
                             double *scratch, ptrdiff_t scratch_size);
    int (*conv_backward_f32)(const matconv_geometry *g, int algorithm, const float *dS,
                             const float *Z, const float *W, float *dZ, float *dW, float *db,
                             float *scratch, ptrdiff_t scratch_size);

    /* The maximum of each window, per channel, padding excluded; a NaN is the maximum.
     * groups and dilations must be 1, filters = channels.
     * IN: Z (images, height, width, channels). OUT: S (images, out_height, out_width, channels);
     * indices (the shape of S) or NULL: row width + column of the first maximum in its image. */
    int (*max_pool_f64)(const matconv_geometry *g, const double *Z, double *S, int *indices);
    int (*max_pool_f32)(const matconv_geometry *g, const float *Z, float *S, int *indices);

    /* The adjoint of max_pool. IN: dS, indices (checked). OUT: dZ. */
    int (*max_pool_backward_f64)(const matconv_geometry *g, const double *dS, const int *indices,
                                 double *dZ);
    int (*max_pool_backward_f32)(const matconv_geometry *g, const float *dS, const int *indices,
                                 float *dZ);

    /* The mean of each window, padding excluded. As max_pool. IN: Z. OUT: S. */
    int (*avg_pool_f64)(const matconv_geometry *g, const double *Z, double *S);
    int (*avg_pool_f32)(const matconv_geometry *g, const float *Z, float *S);

    /* The adjoint of avg_pool. IN: dS. OUT: dZ. */
    int (*avg_pool_backward_f64)(const matconv_geometry *g, const double *dS, double *dZ);
    int (*avg_pool_backward_f32)(const matconv_geometry *g, const float *dS, float *dZ);

    /* S = sigma(Z W + 1 b').
     * IN: Z (images, inputs), W (inputs, units), b (units,) or NULL: no bias; activation.
     * OUT: S (images, units). */
    int (*dense_forward_f64)(ptrdiff_t images, ptrdiff_t inputs, ptrdiff_t units, const double *Z,
                             const double *W, const double *b,
                             const matconv_activation *activation, double *S);
    int (*dense_forward_f32)(ptrdiff_t images, ptrdiff_t inputs, ptrdiff_t units, const float *Z,
                             const float *W, const float *b,
                             const matconv_activation *activation, float *S);

    /* dZ = dS W', dW = Z' dS, db = dS' 1.
     * IN: dS, the gradient for S = Z W + 1 b'; Z, W. OUT: dZ, dW, db, or NULL: not computed.
     * SCRATCH: inputs units elements. */
    int (*dense_backward_f64)(ptrdiff_t images, ptrdiff_t inputs, ptrdiff_t units,
                              const double *dS, const double *Z, const double *W, double *dZ,
                              double *dW, double *db, double *scratch, ptrdiff_t scratch_size);
    int (*dense_backward_f32)(ptrdiff_t images, ptrdiff_t inputs, ptrdiff_t units,
                              const float *dS, const float *Z, const float *W, float *dZ,
                              float *dW, float *db, float *scratch, ptrdiff_t scratch_size);

    /* Open a network written by Network.export, from a file or from `size` bytes in memory, which
     * need not outlive the call. The content is not trusted. OUT: network; NULL on failure. */
    int (*network_open)(const char *path, matconv_network **network);
    int (*network_open_memory)(const void *data, size_t size, matconv_network **network);

    /* Free a network that no thread uses any more. NULL is ignored. */
    void (*network_close)(matconv_network *network);

    /* The number of outputs, at least 1. OUT: outputs. */
    int (*network_outputs)(const matconv_network *network, ptrdiff_t *outputs);

    /* The shapes of an image and of an output, which are counted from 0 in the order of
     * `Network(..., outputs=[...])`. INOUT: shape, with struct_size set. */
    int (*network_get_shape)(const matconv_network *network, ptrdiff_t output,
                             matconv_network_shape *shape);

    /* Elements of scratch for network_predict with up to `images` images. OUT: scratch_size. */
    int (*network_workspace_size)(const matconv_network *network, ptrdiff_t images,
                                  ptrdiff_t *scratch_size);

    /* Compute the outputs of the network, which several threads may use at the same time. The same
     * call gives the same bits; if images are divided among several calls, the last bits may differ,
     * since the order of summation in BLAS depends on the shapes of the matrices.
     * IN: Z (images, height, width, channels).
     * OUT: outputs[k] (images, out_height, out_width, out_channels) of output k, for each of them;
     * none may be NULL. SCRATCH: scratch. */
    int (*network_predict_f64)(const matconv_network *network, ptrdiff_t images, const double *Z,
                               double **outputs, double *scratch, ptrdiff_t scratch_size);
    int (*network_predict_f32)(const matconv_network *network, ptrdiff_t images, const float *Z,
                               float **outputs, float *scratch, ptrdiff_t scratch_size);

    /* Elements of scratch for network_predict_threads with up to `images` images and `threads`
     * threads, from 1 to 1024. OUT: scratch_size. */
    int (*network_workspace_size_threads)(const matconv_network *network, ptrdiff_t images,
                                          int threads, ptrdiff_t *scratch_size);

    /* As network_predict, on the calling thread and up to `threads` - 1 threads of matconv's thread
     * pool, which all callers share. The outputs have the same bits for any number of threads. The
     * threads of the pool are Python threads, so the call acquires the GIL for a moment at its
     * beginning and end; the calling thread, which may be any thread, may hold the GIL or not. During
     * the call BLAS has one thread in the whole process. Not to be called during the finalization of
     * Python.
     * poll(poll_argument) is called between two steps, unless poll is NULL. If it returns nonzero,
     * the call returns MATCONV_INTERRUPTED, and the content of the outputs is unspecified.
     * MATCONV_MEMORY: there is no memory for the threads. */
    int (*network_predict_threads_f64)(const matconv_network *network, ptrdiff_t images,
                                       const double *Z, double **outputs, double *scratch,
                                       ptrdiff_t scratch_size, int threads, matconv_poll poll,
                                       void *poll_argument);
    int (*network_predict_threads_f32)(const matconv_network *network, ptrdiff_t images,
                                       const float *Z, float **outputs, float *scratch,
                                       ptrdiff_t scratch_size, int threads, matconv_poll poll,
                                       void *poll_argument);

    /* Local response normalisation over channels: S_c = Z_c (k + alpha sum_j Z_j^2)^-beta, where j is
     * from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2) as far as there are such channels.
     * size >= 1, k >= 0, alpha >= 0; all three numbers finite.
     * IN: Z (rows, channels). OUT: S (rows, channels). SCRATCH: 8 channels elements. */
    int (*lrn_f64)(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t size, double k, double alpha,
                   double beta, const double *Z, double *S, double *scratch);
    int (*lrn_f32)(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t size, double k, double alpha,
                   double beta, const float *Z, float *S, float *scratch);

    /* The gradient for Z of lrn. IN: dS, Z. OUT: dZ. SCRATCH: 8 channels elements. */
    int (*lrn_backward_f64)(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t size, double k,
                            double alpha, double beta, const double *dS, const double *Z,
                            double *dZ, double *scratch);
    int (*lrn_backward_f32)(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t size, double k,
                            double alpha, double beta, const float *dS, const float *Z,
                            float *dZ, float *scratch);

    /* Elements of scratch for conv_transpose_forward and conv_transpose_backward, as conv_scratch.
     * OUT: forward, backward, or NULL. */
    int (*conv_transpose_scratch_f64)(const matconv_geometry *g, int algorithm, ptrdiff_t *forward,
                                      ptrdiff_t *backward);
    int (*conv_transpose_scratch_f32)(const matconv_geometry *g, int algorithm, ptrdiff_t *forward,
                                      ptrdiff_t *backward);

    /* S = sigma(P_phi' W' Z + b 1'), the adjoint of the convolution that g describes, for its images.
     * IN: Z (images, out_height, out_width, filters),
     *     W (group_channels, kernel_height, kernel_width, filters), b (channels,) or NULL: no bias;
     *     activation.
     * OUT: S (images, height, width, channels). SCRATCH: scratch. */
    int (*conv_transpose_forward_f64)(const matconv_geometry *g, int algorithm, const double *Z,
                                      const double *W, const double *b,
                                      const matconv_activation *activation, double *S,
                                      double *scratch, ptrdiff_t scratch_size);
    int (*conv_transpose_forward_f32)(const matconv_geometry *g, int algorithm, const float *Z,
                                      const float *W, const float *b,
                                      const matconv_activation *activation, float *S,
                                      float *scratch, ptrdiff_t scratch_size);

    /* dZ = W phi(dS), dW = sum_i Z^i phi(dS^i)', db = sum_i dS^i 1.
     * IN: dS, the gradient for S = P_phi' W' Z + b 1'; Z, W.
     * OUT: dZ, dW, db, or NULL: not computed. SCRATCH: scratch. */
    int (*conv_transpose_backward_f64)(const matconv_geometry *g, int algorithm, const double *dS,
                                       const double *Z, const double *W, double *dZ, double *dW,
                                       double *db, double *scratch, ptrdiff_t scratch_size);
    int (*conv_transpose_backward_f32)(const matconv_geometry *g, int algorithm, const float *dS,
                                       const float *Z, const float *W, float *dZ, float *dW,
                                       float *db, float *scratch, ptrdiff_t scratch_size);

    /* Images enlarged by integer factors: each pixel of S is a pixel of Z, or the weighted mean of up
     * to four, by the method. Pixels without a weight are not read.
     * IN: Z (images, height, width, channels).
     * OUT: S (images, factor_down height, factor_right width, channels). */
    int (*upsample_f64)(ptrdiff_t images, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels,
                        ptrdiff_t factor_down, ptrdiff_t factor_right, int method, const double *Z,
                        double *S);
    int (*upsample_f32)(ptrdiff_t images, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels,
                        ptrdiff_t factor_down, ptrdiff_t factor_right, int method, const float *Z,
                        float *S);

    /* The gradient for Z of upsample. IN: dS. OUT: dZ. */
    int (*upsample_backward_f64)(ptrdiff_t images, ptrdiff_t height, ptrdiff_t width,
                                 ptrdiff_t channels, ptrdiff_t factor_down, ptrdiff_t factor_right,
                                 int method, const double *dS, double *dZ);
    int (*upsample_backward_f32)(ptrdiff_t images, ptrdiff_t height, ptrdiff_t width,
                                 ptrdiff_t channels, ptrdiff_t factor_down, ptrdiff_t factor_right,
                                 int method, const float *dS, float *dZ);

    /* Open a network written by Network.export, from a file or from `size` bytes in memory, for the
     * derivatives of one of its outputs, which are counted from 0. The content is not trusted.
     * IN: loss, or NULL: none; then only jvp and vjp can be computed. OUT: objective; NULL on
     * failure. */
    int (*objective_open)(const char *path, const matconv_loss *loss, ptrdiff_t output,
                          matconv_objective **objective);
    int (*objective_open_memory)(const void *data, size_t size, const matconv_loss *loss,
                                 ptrdiff_t output, matconv_objective **objective);

    /* Free an objective that no thread uses any more. NULL is ignored. */
    void (*objective_close)(matconv_objective *objective);

    /* Sizes of an objective. INOUT: shape, with struct_size set. */
    int (*objective_get_shape)(const matconv_objective *objective, matconv_objective_shape *shape);

    /* Elements of scratch for up to `images` images. OUT: gradient_size, which is sufficient for
     * objective_gradient and objective_vjp; product_size, for all functions; or NULL. */
    int (*objective_workspace_size)(const matconv_objective *objective, ptrdiff_t images,
                                    ptrdiff_t *gradient_size, ptrdiff_t *product_size);

    /* The parameters of the file. OUT: theta (parameters,). */
    int (*objective_get_theta_f64)(const matconv_objective *objective, double *theta);
    int (*objective_get_theta_f32)(const matconv_objective *objective, float *theta);

    /* f(theta) and its gradient. Several threads may use an objective at the same time. Sums have the
     * order of matconv.sharding, and so the bits of Objective.value_and_gradient with C = inf and the
     * divisor as total_weight, if BLAS has one thread. Dropout is not applied.
     * IN: theta (parameters,), or NULL: that of the file; samples;
     *     Z (images, height, width, channels);
     *     targets, for each sample as many as it has elements, or NULL: there are labels. A loss of
     *     attributes ("logistic", "hinge", "squared_hinge") of one element takes only targets, which
     *     are 0, 1, or -1: ignored, or for "logistic" between 0 and 1; "softmax" takes probabilities
     *     whose sum is 1, "multiclass_hinge" and "structured_hinge" only labels.
     * OUT: value, in double precision also in objective_gradient_f32, or NULL;
     *     gradient (parameters,), or NULL: not computed. SCRATCH: scratch, gradient_size.
     * poll(poll_argument) is called between two steps, unless poll is NULL. If it returns nonzero,
     * the call returns MATCONV_INTERRUPTED, and the content of the outputs is unspecified. */
    int (*objective_gradient_f64)(const matconv_objective *objective, const double *theta,
                                  const matconv_samples *samples, const double *Z,
                                  const double *targets, double *value, double *gradient,
                                  double *scratch, ptrdiff_t scratch_size, matconv_poll poll,
                                  void *poll_argument);
    int (*objective_gradient_f32)(const matconv_objective *objective, const float *theta,
                                  const matconv_samples *samples, const float *Z,
                                  const float *targets, double *value, float *gradient,
                                  float *scratch, ptrdiff_t scratch_size, matconv_poll poll,
                                  void *poll_argument);

    /* tz = J v: the derivative of the output for each image along v.
     * IN: theta or NULL, Z, poll as objective_gradient; direction, v (parameters,).
     * OUT: tz (images, out_height, out_width, out_channels). SCRATCH: scratch, product_size. */
    int (*objective_jvp_f64)(const matconv_objective *objective, const double *theta,
                             ptrdiff_t images, const double *Z, const double *direction,
                             double *tz, double *scratch, ptrdiff_t scratch_size,
                             matconv_poll poll, void *poll_argument);
    int (*objective_jvp_f32)(const matconv_objective *objective, const float *theta,
                             ptrdiff_t images, const float *Z, const float *direction,
                             float *tz, float *scratch, ptrdiff_t scratch_size,
                             matconv_poll poll, void *poll_argument);

    /* dtheta = J'dz: the gradient of the sum of all products of elements of dz and the output.
     * IN: theta or NULL, Z, poll as objective_gradient;
     *     dz (images, out_height, out_width, out_channels).
     * OUT: dtheta (parameters,). SCRATCH: scratch, gradient_size. */
    int (*objective_vjp_f64)(const matconv_objective *objective, const double *theta,
                             ptrdiff_t images, const double *Z, const double *dz, double *dtheta,
                             double *scratch, ptrdiff_t scratch_size, matconv_poll poll,
                             void *poll_argument);
    int (*objective_vjp_f32)(const matconv_objective *objective, const float *theta,
                             ptrdiff_t images, const float *Z, const float *dz, float *dtheta,
                             float *scratch, ptrdiff_t scratch_size, matconv_poll poll,
                             void *poll_argument);

    /* product = G v, where G = sum_i w_i J_i'B_i J_i / divisor is the Gauss-Newton matrix of f, and
     * B_i is the Hessian of xi with respect to the output. Bits as for objective_gradient, those of
     * Linearization.gauss_newton. A loss whose B is 0 everywhere ("absolute", "hinge",
     * "multiclass_hinge", "structured_hinge") is refused: MATCONV_DERIVATIVE.
     * IN: theta or NULL, samples, Z, targets, poll as objective_gradient; direction, v (parameters,).
     * OUT: product (parameters,). SCRATCH: scratch, product_size. */
    int (*objective_gauss_newton_f64)(const matconv_objective *objective, const double *theta,
                                      const matconv_samples *samples, const double *Z,
                                      const double *targets, const double *direction,
                                      double *product, double *scratch, ptrdiff_t scratch_size,
                                      matconv_poll poll, void *poll_argument);
    int (*objective_gauss_newton_f32)(const matconv_objective *objective, const float *theta,
                                      const matconv_samples *samples, const float *Z,
                                      const float *targets, const float *direction,
                                      float *product, float *scratch, ptrdiff_t scratch_size,
                                      matconv_poll poll, void *poll_argument);
} matconv_api;

#ifdef __cplusplus
}
#endif

#endif /* MATCONV_TABLE_H */
