/* matconv from C: a Gauss-Newton method that fits an exported network to labels, without the GIL.
 *
 * With f = theta'theta / (2 C) + (1/l) sum_i xi_i, each iteration solves (G + I / C) s = -g by
 * conjugate gradients, and halves the step theta + a s until f decreases. */
#include "arrays.h"

#include <stdlib.h>

enum { MAX_CG = 30, MAX_HALVINGS = 30 };

/* The memory of a fit: vectors like theta, and matconv's scratch. */
typedef struct Fit {
    matconv_objective *objective;
    matconv_samples samples;
    const double *Z;
    double C;
    ptrdiff_t n, size;
    double *theta, *gradient, *step, *residual, *direction, *product, *trial, *scratch;
    matconv_poll poll;
    void *poll_argument;
} Fit;

/* What an iteration did: f before it, products with G, the factor of the step. */
typedef struct Record {
    double value, factor;
    int products;
} Record;

static double dot(ptrdiff_t n, const double *x, const double *y)
{
    double sum = 0;
    ptrdiff_t k;
    for (k = 0; k < n; k++)
        sum += x[k] * y[k];
    return sum;
}

/* y += a x */
static void add(ptrdiff_t n, double a, const double *x, double *y)
{
    ptrdiff_t k;
    for (k = 0; k < n; k++)
        y[k] += a * x[k];
}

/* f(theta), and its gradient unless NULL. */
static int evaluate(Fit *fit, const double *theta, double *value, double *gradient)
{
    int status = matconv_objective_gradient_f64(fit->objective, theta, &fit->samples, fit->Z, NULL,
                                                value, gradient, fit->scratch, fit->size,
                                                fit->poll, fit->poll_argument);
    if (status == MATCONV_OK) {
        *value += dot(fit->n, theta, theta) / (2 * fit->C);
        if (gradient != NULL)
            add(fit->n, 1 / fit->C, theta, gradient);
    }
    return status;
}

/* step: (G + I / C) step = -gradient up to a tenth of the gradient's norm. */
static int solve(Fit *fit, int *products)
{
    const ptrdiff_t n = fit->n;
    const double stop = 0.01 * dot(n, fit->gradient, fit->gradient);
    double *r = fit->residual, *d = fit->direction, *q = fit->product, now;
    ptrdiff_t k;
    for (k = 0; k < n; k++) {
        fit->step[k] = 0;
        r[k] = d[k] = -fit->gradient[k];
    }
    now = dot(n, r, r);
    for (*products = 0; *products < MAX_CG && now > stop; ++*products) {
        double a, next, b;
        int status = matconv_objective_gauss_newton_f64(
            fit->objective, fit->theta, &fit->samples, fit->Z, NULL, d, q, fit->scratch, fit->size,
            fit->poll, fit->poll_argument);
        if (status != MATCONV_OK)
            return status;
        add(n, 1 / fit->C, d, q);
        a = now / dot(n, d, q);
        add(n, a, d, fit->step);
        add(n, -a, q, r);
        next = dot(n, r, r);
        b = next / now;
        for (k = 0; k < n; k++)
            d[k] = r[k] + b * d[k];
        now = next;
    }
    return MATCONV_OK;
}

static int iterate(Fit *fit, Record *record)
{
    double trial_value = 0, slope;
    int halvings, status = evaluate(fit, fit->theta, &record->value, fit->gradient);
    if (status == MATCONV_OK)
        status = solve(fit, &record->products);
    if (status != MATCONV_OK)
        return status;
    slope = dot(fit->n, fit->step, fit->gradient);
    record->factor = 1;
    for (halvings = 0; halvings <= MAX_HALVINGS; halvings++) {
        memcpy(fit->trial, fit->theta, (size_t) fit->n * sizeof *fit->theta);
        add(fit->n, record->factor, fit->step, fit->trial);
        status = evaluate(fit, fit->trial, &trial_value, NULL);
        if (status != MATCONV_OK)
            return status;
        if (trial_value - record->value <= 1e-4 * record->factor * slope)
            break;
        record->factor /= 2;
    }
    memcpy(fit->theta, fit->trial, (size_t) fit->n * sizeof *fit->theta);
    return MATCONV_OK;
}

/* The objective's vectors and scratch, and theta of the file. */
static int prepare(Fit *fit, const matconv_objective_shape *shape)
{
    double **vectors[] = {&fit->theta, &fit->gradient, &fit->step, &fit->residual,
                          &fit->direction, &fit->product, &fit->trial};
    size_t k;
    int status;
    fit->n = shape->parameters;
    status = matconv_objective_workspace_size(fit->objective, fit->samples.images, NULL, &fit->size);
    if (status != MATCONV_OK)
        return status;
    fit->scratch = malloc((size_t) fit->size * sizeof(double));
    if (fit->scratch == NULL)
        return MATCONV_MEMORY;
    for (k = 0; k < sizeof vectors / sizeof vectors[0]; k++)
        if ((*vectors[k] = malloc((size_t) fit->n * sizeof(double))) == NULL)
            return MATCONV_MEMORY;
    return matconv_objective_get_theta_f64(fit->objective, fit->theta);
}

static void finish(Fit *fit)
{
    free(fit->scratch);
    free(fit->theta);
    free(fit->gradient);
    free(fit->step);
    free(fit->residual);
    free(fit->direction);
    free(fit->product);
    free(fit->trial);
    matconv_objective_close(fit->objective);
}

/* A poll that stops the call that asks it `left` times more. */
static int stop_later(void *left)
{
    return --*(long *) left < 0;
}

static int open_fit(Fit *fit, const char *path, const char *name, matconv_objective_shape *shape)
{
    const matconv_loss loss = {sizeof loss, name, 0, 0};
    int status = matconv_objective_open(path, &loss, 0, &fit->objective);
    shape->struct_size = sizeof *shape;
    if (status == MATCONV_OK)
        status = matconv_objective_get_shape(fit->objective, shape);
    return status == MATCONV_OK ? prepare(fit, shape) : status;
}

/* fit(path, loss, Z, labels, C, iterations, polls, theta) -> [(f, products, factor), ...]
 * polls < 0: never stopped */
static PyObject *fit_network(PyObject *Py_UNUSED(self), PyObject *args)
{
    const char *path, *name;
    PyObject *Z_, *labels_, *theta_, *list = NULL;
    Fit fit = {0};
    matconv_objective_shape shape = {0};
    Arrays arrays = {.count = 0};
    const Py_buffer *Z, *labels, *theta;
    Record *records = NULL;
    int iterations, done = 0, status;
    long polls;

    if (!PyArg_ParseTuple(args, "ssOOdilO", &path, &name, &Z_, &labels_, &fit.C, &iterations,
                          &polls, &theta_) ||
        !(Z = take(&arrays, Z_, 4, "d", 0)) || !(labels = take(&arrays, labels_, 1, "l", 0)) ||
        !(theta = take(&arrays, theta_, 1, "d", 1)))
        return NULL;
    fit.samples.struct_size = sizeof fit.samples;
    fit.samples.images = Z->shape[0];
    fit.samples.labels = labels->buf;
    fit.samples.divisor = (double) Z->shape[0];
    fit.Z = numbers(Z);
    fit.poll = polls < 0 ? NULL : stop_later;
    fit.poll_argument = &polls;
    Py_BEGIN_ALLOW_THREADS
    status = open_fit(&fit, path, name, &shape);
    Py_END_ALLOW_THREADS
    if (status == MATCONV_OK) {
        const ptrdiff_t l = fit.samples.images;
        const ptrdiff_t sizes[] = {l * shape.height * shape.width * shape.channels, l, fit.n};
        if (check_sizes(&arrays, sizes) < 0) {
            finish(&fit);
            return NULL;
        }
        Py_BEGIN_ALLOW_THREADS
        records = calloc((size_t) iterations + 1, sizeof *records);
        if (records == NULL)
            status = MATCONV_MEMORY;
        for (; status == MATCONV_OK && done < iterations; done++)
            status = iterate(&fit, &records[done]);
        if (status == MATCONV_OK)
            memcpy(theta->buf, fit.theta, (size_t) fit.n * sizeof(double));
        Py_END_ALLOW_THREADS
    }
    finish(&fit);
    release(&arrays);
    if (status != MATCONV_OK) {
        free(records);
        return raise_for(status);
    }
    list = PyList_New(done);
    while (list != NULL && done-- > 0) {
        const Record *r = &records[done];
        PyObject *entry = Py_BuildValue("(did)", r->value, r->products, r->factor);
        if (entry == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, done, entry);
    }
    free(records);
    return list;
}

/* derivatives(path, loss, Z, labels, v, u, gradient, Jv, product): f, and J'u + G v in `product`
 * one after the other, all at the theta of the file */
static PyObject *derivatives(PyObject *Py_UNUSED(self), PyObject *args)
{
    const char *path, *name;
    PyObject *o[7];
    Fit fit = {0};
    matconv_objective_shape shape = {0};
    Arrays arrays = {.count = 0};
    Py_buffer *a[7];
    double value = 0;
    int k, status;
    static const int axes[] = {4, 1, 1, 2, 1, 2, 2};

    if (!PyArg_ParseTuple(args, "ssOOOOOOO", &path, &name, &o[0], &o[1], &o[2], &o[3], &o[4], &o[5],
                          &o[6]))
        return NULL;
    for (k = 0; k < 7; k++)
        if (!(a[k] = take(&arrays, o[k], axes[k], k == 1 ? "l" : "d", k > 3)))
            return NULL;
    fit.samples.struct_size = sizeof fit.samples;
    fit.samples.images = a[0]->shape[0];
    fit.samples.labels = a[1]->buf;
    fit.samples.divisor = (double) a[0]->shape[0];
    Py_BEGIN_ALLOW_THREADS
    status = open_fit(&fit, path, name, &shape);
    Py_END_ALLOW_THREADS
    if (status == MATCONV_OK) {
        const ptrdiff_t l = fit.samples.images;
        const ptrdiff_t outputs = shape.out_height * shape.out_width * shape.out_channels;
        const ptrdiff_t sizes[] = {l * shape.height * shape.width * shape.channels, l, fit.n,
                                   l * outputs, fit.n, l * outputs, 2 * fit.n};
        const double *Z = numbers(a[0]), *v = numbers(a[2]), *u = numbers(a[3]);
        double *s = fit.scratch;
        if (check_sizes(&arrays, sizes) < 0) {
            finish(&fit);
            return NULL;
        }
        Py_BEGIN_ALLOW_THREADS
        status = matconv_objective_gradient_f64(fit.objective, NULL, &fit.samples, Z, NULL, &value,
                                                numbers(a[4]), s, fit.size, NULL, NULL);
        if (status == MATCONV_OK)
            status = matconv_objective_jvp_f64(fit.objective, NULL, l, Z, v, numbers(a[5]), s,
                                               fit.size, NULL, NULL);
        if (status == MATCONV_OK)
            status = matconv_objective_vjp_f64(fit.objective, NULL, l, Z, u, numbers(a[6]), s,
                                               fit.size, NULL, NULL);
        if (status == MATCONV_OK)
            status = matconv_objective_gauss_newton_f64(fit.objective, NULL, &fit.samples, Z, NULL,
                                                        v, numbers(a[6]) + fit.n, s, fit.size, NULL,
                                                        NULL);
        Py_END_ALLOW_THREADS
    }
    finish(&fit);
    release(&arrays);
    return status == MATCONV_OK ? PyFloat_FromDouble(value) : raise_for(status);
}

static PyMethodDef methods[] = {
    {"fit", fit_network, METH_VARARGS, NULL},
    {"derivatives", derivatives, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "fitting", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_fitting(void)
{
    return matconv_import() < 0 ? NULL : PyModule_Create(&definition);
}
