// This file does not import matconv: the table is module.cpp's.
#define MATCONV_EXTERN_TABLE
#include <matconv/matconv.h>

#include "layers.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <system_error>
#include <thread>

void check(int status)
{
    if (status != MATCONV_OK)
        throw std::runtime_error(matconv_status_string(status));
}

Conv::Conv(std::ptrdiff_t images, std::ptrdiff_t height, std::ptrdiff_t width,
           std::ptrdiff_t channels, std::ptrdiff_t filters, std::ptrdiff_t kernel,
           std::ptrdiff_t pad, int algorithm)
    : algorithm(algorithm)
{
    std::ptrdiff_t forward = 0, backward = 0;
    matconv_geometry_default(&g);
    g.images = images;
    g.height = height;
    g.width = width;
    g.channels = channels;
    g.filters = filters;
    g.kernel_height = g.kernel_width = kernel;
    g.pad_top = g.pad_bottom = g.pad_left = g.pad_right = pad;
    check(matconv_geometry_init(&g));
    check(matconv_conv_scratch_f32(&g, algorithm, &forward, &backward));
    scratch.resize(static_cast<std::size_t>(std::max(forward, backward)) + 1);
}

void Conv::forward(const float *Z, const float *W, const float *bias, float *S)
{
    check(matconv_conv_forward_f32(&g, algorithm, Z, W, bias, nullptr, S, scratch.data(),
                                   static_cast<std::ptrdiff_t>(scratch.size())));
}

void Conv::backward(const float *dS, const float *Z, const float *W, float *dZ, float *dW,
                    float *db)
{
    check(matconv_conv_backward_f32(&g, algorithm, dS, Z, W, dZ, dW, db, scratch.data(),
                                    static_cast<std::ptrdiff_t>(scratch.size())));
}

static matconv_geometry pooling(std::ptrdiff_t images, std::ptrdiff_t height,
                                std::ptrdiff_t width, std::ptrdiff_t channels,
                                std::ptrdiff_t window)
{
    matconv_geometry g;
    matconv_geometry_default(&g);
    g.images = images;
    g.height = height;
    g.width = width;
    g.channels = g.filters = channels;
    g.kernel_height = g.kernel_width = g.stride_down = g.stride_right = window;
    return g;
}

void avg_pool(std::ptrdiff_t images, std::ptrdiff_t height, std::ptrdiff_t width,
              std::ptrdiff_t channels, std::ptrdiff_t window, const float *Z, float *S)
{
    const matconv_geometry g = pooling(images, height, width, channels, window);
    check(matconv_avg_pool_f32(&g, Z, S));
}

void avg_pool_backward(std::ptrdiff_t images, std::ptrdiff_t height, std::ptrdiff_t width,
                       std::ptrdiff_t channels, std::ptrdiff_t window, const float *dS, float *dZ)
{
    const matconv_geometry g = pooling(images, height, width, channels, window);
    check(matconv_avg_pool_backward_f32(&g, dS, dZ));
}

void dense_backward(std::ptrdiff_t images, std::ptrdiff_t inputs, std::ptrdiff_t units,
                    const float *dS, const float *Z, const float *W, float *dZ, float *dW,
                    float *db)
{
    std::vector<float> scratch(static_cast<std::size_t>(inputs * units));
    check(matconv_dense_backward_f32(images, inputs, units, dS, Z, W, dZ, dW, db, scratch.data(),
                                     inputs * units));
}

Network::Network(const std::string &path)
{
    check(matconv_network_open(path.c_str(), &network));
    take_shape();
}

Network::Network(const void *bytes, std::size_t size)
{
    check(matconv_network_open_memory(bytes, size, &network));
    take_shape();
}

Network::~Network()
{
    matconv_network_close(network);
}

void Network::take_shape()
{
    shape_.struct_size = sizeof shape_;
    matconv_network_get_shape(network, 0, &shape_);
}

void Network::predict(std::ptrdiff_t n, const float *images, float *out) const
{
    std::ptrdiff_t size = 0;
    check(matconv_network_workspace_size(network, n, &size));
    std::vector<float> scratch(static_cast<std::size_t>(size) + 1);
    check(matconv_network_predict_f32(network, n, images, &out, scratch.data(), size));
}

void Network::predict(std::ptrdiff_t n, const float *images, float *out, int threads) const
{
    std::vector<std::exception_ptr> thrown(static_cast<std::size_t>(threads));
    std::vector<std::thread> running;
    running.reserve(thrown.size());
    for (int k = 0; k < threads; k++) {
        const std::ptrdiff_t first = n * k / threads, last = n * (k + 1) / threads;
        std::exception_ptr &error = thrown[static_cast<std::size_t>(k)];
        const auto part = [this, first, last, images, out, &error] {
            try {
                predict(last - first, images + first * inputs(), out + first * outputs());
            } catch (...) {
                error = std::current_exception();
            }
        };
        try {
            running.emplace_back(part);
        } catch (const std::system_error &) { // no more threads: by this one
            part();
        }
    }
    for (std::thread &thread : running)
        thread.join();
    for (const std::exception_ptr &error : thrown)
        if (error)
            std::rethrow_exception(error);
}

void Network::predict_by_pool(std::ptrdiff_t n, const float *images, float *out, int threads) const
{
    std::ptrdiff_t size = 0;
    check(matconv_network_workspace_size_threads(network, n, threads, &size));
    std::vector<float> scratch(static_cast<std::size_t>(size) + 1);
    check(matconv_network_predict_threads_f32(network, n, images, &out, scratch.data(), size,
                                              threads, nullptr, nullptr));
}
