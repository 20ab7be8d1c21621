/* Vectors of elements for the loops of convolutions that keep their sums in registers. */

#ifndef MATCONV_CONV_DIRECT_VECTORS_H
#define MATCONV_CONV_DIRECT_VECTORS_H

/* Vectors of 16 bytes, and of 32 where the processor has them; elements for other compilers. */
#if defined(__GNUC__)
#define MATCONV_VECTORS 1
#define MATCONV_VECTOR(T, NAME, BYTES) \
    typedef T NAME __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
#define MATCONV_UNROLL _Pragma("GCC unroll 16")
#if defined(__AVX__)
#define MATCONV_WIDE 32
#else
#define MATCONV_WIDE 16
#endif
MATCONV_VECTOR(double, matconv_narrow_f64, 16)
MATCONV_VECTOR(float, matconv_narrow_f32, 16)
MATCONV_VECTOR(double, matconv_wide_f64, MATCONV_WIDE)
MATCONV_VECTOR(float, matconv_wide_f32, MATCONV_WIDE)
MATCONV_VECTOR(long long, matconv_narrow_mask_f64, 16)
MATCONV_VECTOR(int, matconv_narrow_mask_f32, 16)
MATCONV_VECTOR(long long, matconv_wide_mask_f64, MATCONV_WIDE)
MATCONV_VECTOR(int, matconv_wide_mask_f32, MATCONV_WIDE)
/* In each lane x if the condition holds there, else y. */
#define MATCONV_SELECT_VECTOR(V, M, condition, x, y) \
    ((V) (((M) (condition) & (M) (x)) | (~(M) (condition) & (M) (y))))
#else
#define MATCONV_VECTORS 0
#define MATCONV_UNROLL
typedef double matconv_narrow_f64, matconv_wide_f64;
typedef float matconv_narrow_f32, matconv_wide_f32;
#define MATCONV_SELECT_VECTOR MATCONV_SELECT_ELEMENT
#endif
#define MATCONV_SELECT_ELEMENT(V, M, condition, x, y) ((condition) ? (x) : (y))
#define MATCONV_LOAD(V, address) (*(const V *) (address))

#endif
