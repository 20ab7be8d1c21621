/* The smallest client: what its headers say, and one product by the library's table. NAME is the
 * module's name. */
#include <Python.h>

#include <matconv/matconv.h>

#define TEXT_(name) #name
#define TEXT(name) TEXT_(name)
#define JOIN_(one, other) one##other
#define JOIN(one, other) JOIN_(one, other)

/* (ABI version, bytes of the table) of the headers, then of the library */
static PyObject *versions(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    return Py_BuildValue("((in)(in))", MATCONV_ABI_VERSION, (Py_ssize_t) sizeof(matconv_api),
                         matconv_table->abi_version, (Py_ssize_t) matconv_table->size);
}

/* dense(x, w): max(x w, 0) */
static PyObject *dense(PyObject *Py_UNUSED(self), PyObject *args)
{
    const matconv_activation relu = {MATCONV_RELU, 0, 0};
    double x, w, result = -1;
    int status;
    if (!PyArg_ParseTuple(args, "dd", &x, &w))
        return NULL;
    status = matconv_dense_forward_f64(1, 1, 1, &x, &w, NULL, &relu, &result);
    if (status != MATCONV_OK)
        return PyErr_Format(PyExc_ValueError, "%s", matconv_status_string(status));
    return PyFloat_FromDouble(result);
}

static PyMethodDef methods[] = {
    {"versions", versions, METH_NOARGS, NULL},
    {"dense", dense, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = TEXT(NAME), .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC JOIN(PyInit_, NAME)(void)
{
    return matconv_import() < 0 ? NULL : PyModule_Create(&definition);
}
