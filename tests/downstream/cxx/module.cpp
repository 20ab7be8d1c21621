// The Python face of layers.hpp, and the one file that imports matconv.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <matconv/matconv.h>

#include "layers.hpp"

#include <memory>
#include <stdexcept>

// A C-contiguous array of float32, held as long as this lives.
class Array {
public:
    Array(PyObject *object, bool writable = false)
    {
        const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object, &view, flags) < 0) {
            PyErr_Clear();
            throw std::invalid_argument("a contiguous array is needed");
        }
        if (view.format == nullptr || std::string(view.format) != "f") {
            PyBuffer_Release(&view);
            throw std::invalid_argument("an array of float32 is needed");
        }
    }
    ~Array() { PyBuffer_Release(&view); }
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;

    float *data() const { return static_cast<float *>(view.buf); }
    Py_ssize_t size(int axis) const { return axis < view.ndim ? view.shape[axis] : 1; }
    // What C itself cannot see: whether there are so many numbers.
    float *of(Py_ssize_t count) const
    {
        if (view.len != count * static_cast<Py_ssize_t>(sizeof(float)))
            throw std::invalid_argument("an array of another size is needed");
        return data();
    }

private:
    Py_buffer view;
};

// Without the GIL while it lives, also when an exception ends it.
class WithoutGil {
public:
    WithoutGil() : state(PyEval_SaveThread()) {}
    ~WithoutGil() { PyEval_RestoreThread(state); }
    WithoutGil(const WithoutGil &) = delete;
    WithoutGil &operator=(const WithoutGil &) = delete;

private:
    PyThreadState *state;
};

template <typename Body> static PyObject *guarded(Body body)
{
    try {
        return body();
    } catch (const std::exception &error) {
        PyErr_SetString(PyExc_ValueError, error.what());
        return nullptr;
    }
}

// conv(Z, W, b, dS, S, dZ, dW, db, pad, algorithm): forward and backward
static PyObject *conv(PyObject *, PyObject *args)
{
    PyObject *o[8];
    Py_ssize_t pad;
    int algorithm;
    if (!PyArg_ParseTuple(args, "OOOOOOOOni", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6],
                          &o[7], &pad, &algorithm))
        return nullptr;
    return guarded([&]() -> PyObject * {
        const Array Z(o[0]), W(o[1]), b(o[2]), dS(o[3]);
        const Array S(o[4], true), dZ(o[5], true), dW(o[6], true), db(o[7], true);
        const Py_ssize_t l = Z.size(0), d_out = W.size(3), h = W.size(1);
        Conv layer(l, Z.size(1), Z.size(2), Z.size(3), d_out, h, pad, algorithm);
        const Py_ssize_t out = l * (Z.size(1) + 2 * pad - h + 1) * (Z.size(2) + 2 * pad - h + 1);
        const Py_ssize_t in = l * Z.size(1) * Z.size(2) * Z.size(3), K = Z.size(3) * h * h;
        float *const targets[] = {S.of(out * d_out), dZ.of(in), dW.of(K * d_out), db.of(d_out)};
        const float *const given[] = {W.of(K * d_out), b.of(d_out), dS.of(out * d_out)};
        {
            const WithoutGil without;
            layer.forward(Z.data(), given[0], given[1], targets[0]);
            layer.backward(given[2], Z.data(), given[0], targets[1], targets[2], targets[3]);
        }
        return Py_NewRef(Py_None);
    });
}

// avg_pool(Z, dS, S, dZ, window): forward and backward
static PyObject *pool(PyObject *, PyObject *args)
{
    PyObject *o[4];
    Py_ssize_t h;
    if (!PyArg_ParseTuple(args, "OOOOn", &o[0], &o[1], &o[2], &o[3], &h))
        return nullptr;
    return guarded([&]() -> PyObject * {
        const Array Z(o[0]), dS(o[1]), S(o[2], true), dZ(o[3], true);
        const Py_ssize_t l = Z.size(0), b = Z.size(1), a = Z.size(2), d = Z.size(3);
        if (h < 1)
            throw std::invalid_argument("a window of at least 1 is needed");
        const Py_ssize_t out = l * (b / h) * (a / h) * d;
        float *const S_ = S.of(out), *const dZ_ = dZ.of(l * b * a * d);
        const float *const dS_ = dS.of(out);
        {
            const WithoutGil without;
            avg_pool(l, b, a, d, h, Z.data(), S_);
            avg_pool_backward(l, b, a, d, h, dS_, dZ_);
        }
        return Py_NewRef(Py_None);
    });
}

// dense_backward(dS, Z, W, dZ, dW, db)
static PyObject *dense(PyObject *, PyObject *args)
{
    PyObject *o[6];
    if (!PyArg_ParseTuple(args, "OOOOOO", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5]))
        return nullptr;
    return guarded([&]() -> PyObject * {
        const Array dS(o[0]), Z(o[1]), W(o[2]), dZ(o[3], true), dW(o[4], true), db(o[5], true);
        const Py_ssize_t l = Z.size(0), m = Z.size(1), units = W.size(1);
        float *const targets[] = {dZ.of(l * m), dW.of(m * units), db.of(units)};
        const float *const given[] = {dS.of(l * units), W.of(m * units)};
        {
            const WithoutGil without;
            dense_backward(l, m, units, given[0], Z.data(), given[1], targets[0], targets[1],
                           targets[2]);
        }
        return Py_NewRef(Py_None);
    });
}

// predict(path or bytes, images, out, threads): so many of its own, or with -threads of the pool
static PyObject *predict(PyObject *, PyObject *args)
{
    PyObject *source, *images_, *out_;
    int threads;
    if (!PyArg_ParseTuple(args, "OOOi", &source, &images_, &out_, &threads))
        return nullptr;
    return guarded([&]() -> PyObject * {
        const Array images(images_), out(out_, true);
        const bool is_bytes = PyBytes_Check(source);
        const char *const text = is_bytes ? PyBytes_AS_STRING(source) : PyUnicode_AsUTF8(source);
        if (text == nullptr)
            return nullptr;
        const std::size_t size = is_bytes ? static_cast<std::size_t>(PyBytes_GET_SIZE(source)) : 0;
        const std::unique_ptr<Network> network(is_bytes ? new Network(text, size)
                                                        : new Network(std::string(text)));
        const Py_ssize_t n = images.size(0);
        const float *const images_of_n = images.of(n * network->inputs());
        float *const out_of_n = out.of(n * network->outputs());
        {
            const WithoutGil without;
            if (threads > 0)
                network->predict(n, images_of_n, out_of_n, threads);
            else if (threads < 0)
                network->predict_by_pool(n, images_of_n, out_of_n, -threads);
            else
                network->predict(n, images_of_n, out_of_n);
        }
        return Py_NewRef(Py_None);
    });
}

static PyMethodDef methods[] = {
    {"conv", conv, METH_VARARGS, nullptr},
    {"avg_pool", pool, METH_VARARGS, nullptr},
    {"dense_backward", dense, METH_VARARGS, nullptr},
    {"predict", predict, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "pluscxx", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr,
};

PyMODINIT_FUNC PyInit_pluscxx()
{
    return matconv_import() < 0 ? nullptr : PyModule_Create(&definition);
}
