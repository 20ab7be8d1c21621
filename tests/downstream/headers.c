/* Compiled as C and as C++, with and without Python, warnings being errors. */
#ifdef WITH_PYTHON
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#endif

#include <matconv/matconv.h>

/* twice: a header may be included again */
#include <matconv/matconv.h>

#ifdef USED
int used(void);

int used(void)
{
    matconv_geometry g;
    ptrdiff_t forward = 0;
#ifdef WITH_PYTHON
    if (matconv_import() < 0)
        return -1;
#endif
    matconv_geometry_default(&g);
    return matconv_imported() ? matconv_conv_scratch_f64(&g, MATCONV_AUTO, &forward, NULL) : -1;
}
#else
/* C has no empty translation units */
typedef int nothing;
#endif
