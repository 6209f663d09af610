/* RTNeural for step_in_c.h: its layer of fixed sizes, on Eigen, for the processor it is compiled on. Eigen's vectors are as wide
 * as the processor's where their memory is aligned for it: with 64 bytes 1.1 to 1.5 times as fast as with 16. */
#include "../step_in_c.h"

#define RTNEURAL_USE_EIGEN 1
#define RTNEURAL_NAMESPACE RTNeural
#define RTNEURAL_DEFAULT_ALIGNMENT 64
#define EIGEN_MAX_ALIGN_BYTES 64
#define EIGEN_STACK_ALLOCATION_LIMIT 0 /* the weights of 128 units are members of the layer */
#include <RTNeural.h>

#include <cstdlib>
#include <memory>
#include <vector>

struct Layer {
    virtual ~Layer() = default;
    virtual void run(const float *x, float *h, int64_t steps) = 0;
};

template <int H>
struct Fixed : Layer {
    RTNeural::LSTMLayerT<float, H, H> layer;

    Fixed(const float *W, const float *U, const float *bias)
    {
        layer.setWVals(columns(W));
        layer.setUVals(columns(U));
        layer.setBVals(std::vector<float>(bias, bias + 4 * H));
        layer.reset();
    }

    static std::vector<std::vector<float>> columns(const float *weights)
    {
        std::vector<std::vector<float>> out(H, std::vector<float>(4 * H));
        for (int k = 0; k < H; k++)
            for (int n = 0; n < 4 * H; n++)
                out[k][n] = weights[n * H + k];
        return out;
    }

    void run(const float *x, float *h, int64_t steps) override
    {
        for (int64_t t = 0; t < steps; t++) {
            const Eigen::Matrix<float, H, 1> input = Eigen::Map<const Eigen::Matrix<float, H, 1>>(x + t % ROWS * H);
            layer.forward(input);
            Eigen::Map<Eigen::Matrix<float, H, 1>>(h + t % ROWS * H) = layer.outs;
        }
    }
};

void *layer_new(int64_t H, const float *W, const float *U, const float *bias)
{
    switch (H) {
    case 8: return static_cast<Layer *>(new Fixed<8>(W, U, bias));
    case 16: return static_cast<Layer *>(new Fixed<16>(W, U, bias));
    case 32: return static_cast<Layer *>(new Fixed<32>(W, U, bias));
    case 64: return static_cast<Layer *>(new Fixed<64>(W, U, bias));
    case 128: return static_cast<Layer *>(new Fixed<128>(W, U, bias));
    default: std::abort();
    }
}

void layer_run(void *layer, const float *x, float *h, int64_t steps) { static_cast<Layer *>(layer)->run(x, h, steps); }
