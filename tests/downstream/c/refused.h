/* Calls that must be refused, for one dtype: faults.c includes this with `real` and F defined.
 *
 * F(name)(...) is matconv_name_f64 or _f32. Of what is given here, all outputs lie in `outputs`,
 * which is poisoned before each call and compared byte for byte after it. */

/* Every function that takes a geometry, everything else being as it should. */
static int N(by_geometry)(int which, const matconv_geometry *g)
{
    real *in = inputs, *out = outputs, *more = out + ROOM, *rest = more + ROOM;
    ptrdiff_t *size = outputs;
    real *scratch = scratches;
    switch (which) {
    case 0: return F(im2col)(g, in, out);
    case 1: return F(col2im)(g, in, out);
    case 2: return F(conv_scratch)(g, MATCONV_AUTO, size, size + 1);
    case 3: return F(conv_forward)(g, MATCONV_AUTO, in, in, in, relu, out, scratch, SCRATCHES);
    case 4:
        return F(conv_backward)(g, MATCONV_AUTO, in, in, in, out, more, rest, scratch, SCRATCHES);
    case 5: return F(max_pool)(g, in, out, (int *) more);
    case 6: return F(max_pool_backward)(g, in, (const int *) in, out);
    case 7: return F(avg_pool)(g, in, out);
    default: return F(avg_pool_backward)(g, in, out);
    }
}

static void N(refuse_arguments)(PyObject *list)
{
    const matconv_geometry *g = usual(), *p = pooling();
    real *in = inputs, *out = outputs, *more = out + ROOM, *rest = more + ROOM;
    real *s = scratches;
    int *index = outputs;
    const int *bad = bad_indices;
    int algorithm;
    size_t k;

    /* the call as it should be: nothing below is refused for another reason than it says */
    FINE(F(im2col)(g, in, out));
    FINE(F(max_pool_backward)(p, in, (const int *) in, out));
    REFUSED(MATCONV_NULL, F(im2col)(g, NULL, out));
    REFUSED(MATCONV_NULL, F(im2col)(g, in, NULL));
    REFUSED(MATCONV_NULL, F(col2im)(g, NULL, out));
    REFUSED(MATCONV_NULL, F(col2im)(g, in, NULL));
    FINE(F(bias_activation)(3, 4, in, NULL, NULL, out));
    FINE(F(bias_activation_backward)(3, 4, in, in, relu, out, NULL));
    REFUSED(MATCONV_NULL, F(bias_activation)(3, 4, NULL, in, relu, out));
    REFUSED(MATCONV_NULL, F(bias_activation)(3, 4, in, in, relu, NULL));
    REFUSED(MATCONV_SIZE, F(bias_activation)(-1, 4, in, in, relu, out));
    REFUSED(MATCONV_SIZE, F(bias_activation)(3, 0, in, in, relu, out));
    REFUSED(MATCONV_OVERFLOW, F(bias_activation)(MOST, 4, in, in, relu, out));
    REFUSED(MATCONV_OVERFLOW, F(bias_activation)(MOST / 8, 2, in, in, relu, out));
    REFUSED(MATCONV_NULL, F(bias_activation_backward)(3, 4, NULL, in, relu, out, more));
    REFUSED(MATCONV_NULL, F(bias_activation_backward)(3, 4, in, NULL, relu, out, more));
    REFUSED(MATCONV_NULL, F(bias_activation_backward)(3, 4, in, in, relu, NULL, more));
    REFUSED(MATCONV_SIZE, F(bias_activation_backward)(3, -4, in, in, relu, out, more));
    REFUSED(MATCONV_OVERFLOW, F(bias_activation_backward)(2, MOST, in, in, relu, out, more));
    for (k = 0; k < sizeof bad_activations / sizeof bad_activations[0]; k++) {
        const matconv_activation *wrong = &bad_activations[k];
        REFUSED(MATCONV_ACTIVATION, F(bias_activation)(3, 4, in, in, wrong, out));
        REFUSED(MATCONV_ACTIVATION, F(bias_activation_backward)(3, 4, in, in, wrong, out, more));
        REFUSED(MATCONV_ACTIVATION,
                F(conv_forward)(g, MATCONV_AUTO, in, in, in, wrong, out, s, SCRATCHES));
        REFUSED(MATCONV_ACTIVATION, F(dense_forward)(3, 4, 5, in, in, in, wrong, out));
    }

    for (algorithm = MATCONV_AUTO; algorithm <= MATCONV_WINOGRAD; algorithm++) {
        ptrdiff_t forward = 0, backward = 0;
        F(conv_scratch)(g, algorithm, &forward, &backward);
        FINE(F(conv_forward)(g, algorithm, in, in, NULL, relu, out, s, forward));
        FINE(F(conv_backward)(g, algorithm, in, in, in, out, more, rest, s, backward));
        REFUSED(MATCONV_SCRATCH, F(conv_forward)(g, algorithm, in, in, in, relu, out, s, forward - 1));
        REFUSED(MATCONV_SCRATCH, F(conv_forward)(g, algorithm, in, in, in, relu, out, s, 0));
        REFUSED(MATCONV_SCRATCH, F(conv_forward)(g, algorithm, in, in, in, relu, out, s, -1));
        REFUSED(MATCONV_NULL, F(conv_forward)(g, algorithm, in, in, in, relu, out, NULL, forward));
        REFUSED(MATCONV_NULL, F(conv_forward)(g, algorithm, NULL, in, in, relu, out, s, forward));
        REFUSED(MATCONV_NULL, F(conv_forward)(g, algorithm, in, NULL, in, relu, out, s, forward));
        REFUSED(MATCONV_NULL, F(conv_forward)(g, algorithm, in, in, in, relu, NULL, s, forward));
        REFUSED(MATCONV_SCRATCH,
                F(conv_backward)(g, algorithm, in, in, in, out, more, rest, s, backward - 1));
        REFUSED(MATCONV_SCRATCH,
                F(conv_backward)(g, algorithm, in, in, in, out, more, rest, s, -1));
        REFUSED(MATCONV_NULL,
                F(conv_backward)(g, algorithm, in, in, in, out, more, rest, NULL, backward));
        REFUSED(MATCONV_NULL,
                F(conv_backward)(g, algorithm, NULL, in, in, out, more, rest, s, backward));
        REFUSED(MATCONV_NULL,
                F(conv_backward)(g, algorithm, in, NULL, in, out, more, rest, s, backward));
        REFUSED(MATCONV_NULL,
                F(conv_backward)(g, algorithm, in, in, NULL, out, more, rest, s, backward));
    }
    for (algorithm = 0; algorithm < 4; algorithm++) {
        const int unknown[] = {-1, MATCONV_WINOGRAD + 1, INT_MAX, INT_MIN};
        ptrdiff_t *size = outputs;
        REFUSED(MATCONV_ALGORITHM, F(conv_scratch)(g, unknown[algorithm], size, size + 1));
        REFUSED(MATCONV_ALGORITHM,
                F(conv_forward)(g, unknown[algorithm], in, in, in, relu, out, s, SCRATCHES));
        REFUSED(MATCONV_ALGORITHM,
                F(conv_backward)(g, unknown[algorithm], in, in, in, out, more, rest, s, SCRATCHES));
    }

    REFUSED(MATCONV_NULL, F(max_pool)(p, NULL, out, index + ROOM));
    REFUSED(MATCONV_NULL, F(max_pool)(p, in, NULL, index));
    REFUSED(MATCONV_NULL, F(max_pool_backward)(p, NULL, (const int *) in, out));
    REFUSED(MATCONV_NULL, F(max_pool_backward)(p, in, NULL, out));
    REFUSED(MATCONV_NULL, F(max_pool_backward)(p, in, (const int *) in, NULL));
    REFUSED(MATCONV_INDEX, F(max_pool_backward)(p, in, bad, out));
    REFUSED(MATCONV_INDEX, F(max_pool_backward)(p, in, bad + ROOM, out));
    REFUSED(MATCONV_NULL, F(avg_pool)(p, NULL, out));
    REFUSED(MATCONV_NULL, F(avg_pool)(p, in, NULL));
    REFUSED(MATCONV_NULL, F(avg_pool_backward)(p, NULL, out));
    REFUSED(MATCONV_NULL, F(avg_pool_backward)(p, in, NULL));
    REFUSED(MATCONV_PADDING, F(max_pool)(WITH(pad_top, 3), in, out, NULL));
    REFUSED(MATCONV_PADDING, F(avg_pool)(WITH(pad_right, 3), in, out));
    REFUSED(MATCONV_SIZE, F(max_pool)(WITH(filters, 2), in, out, NULL));
    REFUSED(MATCONV_SIZE, F(avg_pool)(WITH(dilation_right, 2), in, out));
    REFUSED(MATCONV_GROUPS, F(max_pool)(WITH(groups, 2), in, out, NULL));
    REFUSED(MATCONV_GROUPS, F(im2col)(WITH(groups, 2), in, out));

    FINE(F(dense_forward)(3, 4, 5, in, in, NULL, NULL, out));
    FINE(F(dense_backward)(3, 4, 5, in, in, in, out, more, rest, s, 20));
    REFUSED(MATCONV_NULL, F(dense_forward)(3, 4, 5, NULL, in, in, NULL, out));
    REFUSED(MATCONV_NULL, F(dense_forward)(3, 4, 5, in, NULL, in, NULL, out));
    REFUSED(MATCONV_NULL, F(dense_forward)(3, 4, 5, in, in, in, NULL, NULL));
    REFUSED(MATCONV_SIZE, F(dense_forward)(-3, 4, 5, in, in, in, NULL, out));
    REFUSED(MATCONV_SIZE, F(dense_forward)(3, 0, 5, in, in, in, NULL, out));
    REFUSED(MATCONV_OVERFLOW, F(dense_forward)(3, MOST, 5, in, in, in, NULL, out));
    REFUSED(MATCONV_BLAS_INT, F(dense_forward)(3, (ptrdiff_t) INT_MAX + 1, 2, in, in, in, NULL, out));
    REFUSED(MATCONV_SCRATCH, F(dense_backward)(3, 4, 5, in, in, in, out, more, rest, s, 19));
    REFUSED(MATCONV_NULL, F(dense_backward)(3, 4, 5, in, in, in, out, more, rest, NULL, 20));
    REFUSED(MATCONV_NULL, F(dense_backward)(3, 4, 5, NULL, in, in, out, more, rest, s, 20));
    REFUSED(MATCONV_SIZE, F(dense_backward)(3, 4, -5, in, in, in, out, more, rest, s, 20));
}

/* The network computes in this dtype, and n images at once is what it may get. */
static void N(refuse_predictions)(PyObject *list, const matconv_network *network)
{
    real *in = inputs, *s = scratches;
    real *none = NULL, *first = outputs, **out = &first;
    ptrdiff_t size = 0;
    matconv_network_workspace_size(network, 2, &size);
    FINE(F(network_predict)(network, 2, in, out, s, size));
    REFUSED(MATCONV_OK, F(network_predict)(network, 0, NULL, NULL, NULL, 0)); /* nothing to do */
    REFUSED(MATCONV_SCRATCH, F(network_predict)(network, 2, in, out, s, size - 1));
    REFUSED(MATCONV_SCRATCH, F(network_predict)(network, 2, in, out, s, -1));
    REFUSED(MATCONV_NULL, F(network_predict)(network, 2, in, out, NULL, size));
    REFUSED(MATCONV_NULL, F(network_predict)(network, 2, NULL, out, s, size));
    REFUSED(MATCONV_NULL, F(network_predict)(network, 2, in, NULL, s, size));
    REFUSED(MATCONV_NULL, F(network_predict)(network, 2, in, &none, s, size));
    REFUSED(MATCONV_NULL, F(network_predict)(NULL, 2, in, out, s, size));
    REFUSED(MATCONV_SIZE, F(network_predict)(network, -1, in, out, s, size));
    REFUSED(MATCONV_OVERFLOW, F(network_predict)(network, MOST, in, out, s, size));
}
