// matconv as C++ likes it: errors are exceptions, memory is owned. Knows nothing of Python.
#ifndef LAYERS_HPP
#define LAYERS_HPP

#include <cstddef>
#include <string>
#include <vector>

#include <matconv/types.h>

// Throw std::runtime_error for a status that is not MATCONV_OK.
void check(int status);

// A convolution layer in single precision, with scratch for both its directions; of one thread.
class Conv {
public:
    // filters of kernel x kernel, padded all around
    Conv(std::ptrdiff_t images, std::ptrdiff_t height, std::ptrdiff_t width,
         std::ptrdiff_t channels, std::ptrdiff_t filters, std::ptrdiff_t kernel,
         std::ptrdiff_t pad, int algorithm);
    void forward(const float *Z, const float *W, const float *bias, float *S);
    void backward(const float *dS, const float *Z, const float *W, float *dZ, float *dW, float *db);

private:
    matconv_geometry g;
    int algorithm;
    std::vector<float> scratch;
};

// The mean of windows of window x window that do not overlap, and its gradient.
void avg_pool(std::ptrdiff_t images, std::ptrdiff_t height, std::ptrdiff_t width,
              std::ptrdiff_t channels, std::ptrdiff_t window, const float *Z, float *S);
void avg_pool_backward(std::ptrdiff_t images, std::ptrdiff_t height, std::ptrdiff_t width,
                       std::ptrdiff_t channels, std::ptrdiff_t window, const float *dS, float *dZ);

// dZ, dW and db of S = Z W + 1 b'
void dense_backward(std::ptrdiff_t images, std::ptrdiff_t inputs, std::ptrdiff_t units,
                    const float *dS, const float *Z, const float *W, float *dZ, float *dW,
                    float *db);

// A frozen network in single precision; predict may be called by any number of threads.
class Network {
public:
    explicit Network(const std::string &path);
    Network(const void *bytes, std::size_t size);
    ~Network();
    Network(const Network &) = delete;
    Network &operator=(const Network &) = delete;

    const matconv_network_shape &shape() const { return shape_; }
    std::ptrdiff_t inputs() const { return shape_.height * shape_.width * shape_.channels; }
    std::ptrdiff_t outputs() const
    {
        return shape_.out_height * shape_.out_width * shape_.out_channels;
    }
    void predict(std::ptrdiff_t n, const float *images, float *out) const;
    // the same by threads of its own, each with some of the images
    void predict(std::ptrdiff_t n, const float *images, float *out, int threads) const;
    // the same by matconv's thread pool
    void predict_by_pool(std::ptrdiff_t n, const float *images, float *out, int threads) const;

private:
    void take_shape();
    matconv_network *network = nullptr;
    matconv_network_shape shape_;
};

#endif
