/* GroupNorm with an optional SiLU behind it, forward and backward, for bfloat16 in channels-last order.
 *
 * What it is: the one operation that PyTorch runs slowly on CPUs in this layout; with it the convolutions
 * can stay channels-last, where they are several times faster. Built by fast_norm.py, one thread.
 * What it is not: needed for anything but training speed; PyTorch's own operations give the same answer.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline float widen(uint16_t value) {
    union { uint32_t bits; float number; } cell = { (uint32_t)value << 16 };
    return cell.number;
}

static inline uint16_t narrow(float value) {
    union { float number; uint32_t bits; } cell = { value };
    return (uint16_t)((cell.bits + 0x7fff + ((cell.bits >> 16) & 1)) >> 16);
}

/* Logistic function; the bound keeps the compiler's fast reciprocal away from infinity. */
static inline float logistic(float z) {
    return 1 / (1 + expf(fminf(-z, 60)));
}

/* x, y: batch x places x channels. mean, rstd: batch x groups, kept for the backward pass. */
void norm_silu_forward(const uint16_t *x, const float *gamma, const float *beta, uint16_t *y, float *mean,
                       float *rstd, int batch, int places, int channels, int groups, float eps, int silu) {
    float *sums = malloc(4 * sizeof(float) * channels);
    float *squares = sums + channels, *scale = squares + channels, *shift = scale + channels;
    const int width = channels / groups;
    for (int n = 0; n < batch; n++) {
        const uint16_t *in = x + (size_t)n * places * channels;
        uint16_t *out = y + (size_t)n * places * channels;
        memset(sums, 0, 2 * sizeof(float) * channels);
        for (int p = 0; p < places; p++)
            for (int c = 0; c < channels; c++) {
                const float value = widen(in[p * channels + c]);
                sums[c] += value;
                squares[c] += value * value;
            }
        for (int g = 0; g < groups; g++) {
            double sum = 0, square = 0;
            for (int c = g * width; c < (g + 1) * width; c++) { sum += sums[c]; square += squares[c]; }
            const double middle = sum / ((double)width * places);
            const double variance = fmax(square / ((double)width * places) - middle * middle, 0);
            mean[n * groups + g] = middle;
            rstd[n * groups + g] = 1 / sqrt(variance + eps);
            for (int c = g * width; c < (g + 1) * width; c++) {
                scale[c] = gamma[c] * rstd[n * groups + g];
                shift[c] = beta[c] - scale[c] * mean[n * groups + g];
            }
        }
        for (int p = 0; p < places; p++)
            for (int c = 0; c < channels; c++) {
                const float z = scale[c] * widen(in[p * channels + c]) + shift[c];
                out[p * channels + c] = narrow(silu ? z * logistic(z) : z);
            }
    }
    free(sums);
}

/* dgamma, dbeta: sums over the batch, zero on entry. */
void norm_silu_backward(const uint16_t *dy, const uint16_t *x, const float *gamma, const float *beta,
                        const float *mean, const float *rstd, uint16_t *dx, float *dgamma, float *dbeta,
                        int batch, int places, int channels, int groups, int silu) {
    float *dz = malloc(sizeof(float) * places * channels);
    float *cells = malloc(6 * sizeof(float) * channels);
    float *gain = cells, *bias = cells + channels, *xscale = bias + channels, *xshift = xscale + channels;
    float *direct = xshift + channels, *normal = direct + channels;
    const int width = channels / groups;
    for (int n = 0; n < batch; n++) {
        const uint16_t *in = x + (size_t)n * places * channels, *grad = dy + (size_t)n * places * channels;
        uint16_t *out = dx + (size_t)n * places * channels;
        for (int c = 0; c < channels; c++) {
            xscale[c] = rstd[n * groups + c / width];
            xshift[c] = -mean[n * groups + c / width] * xscale[c];
        }
        memset(gain, 0, 2 * sizeof(float) * channels);
        for (int p = 0; p < places; p++)
            for (int c = 0; c < channels; c++) {
                const float normalised = widen(in[p * channels + c]) * xscale[c] + xshift[c];
                float slope = widen(grad[p * channels + c]);
                if (silu) {
                    const float z = normalised * gamma[c] + beta[c], s = logistic(z);
                    slope *= s * (1 + z * (1 - s));
                }
                dz[p * channels + c] = slope;
                bias[c] += slope;
                gain[c] += slope * normalised;
            }
        for (int g = 0; g < groups; g++) {
            float first = 0, second = 0;
            for (int c = g * width; c < (g + 1) * width; c++) {
                first += gamma[c] * bias[c];
                second += gamma[c] * gain[c];
            }
            for (int c = g * width; c < (g + 1) * width; c++) {
                direct[c] = first / ((float)width * places);
                normal[c] = second / ((float)width * places);
            }
        }
        for (int c = 0; c < channels; c++) { dgamma[c] += gain[c]; dbeta[c] += bias[c]; }
        for (int p = 0; p < places; p++)
            for (int c = 0; c < channels; c++) {
                const float normalised = widen(in[p * channels + c]) * xscale[c] + xshift[c];
                out[p * channels + c] =
                    narrow(xscale[c] * (gamma[c] * dz[p * channels + c] - direct[c] - normalised * normal[c]));
            }
    }
    free(cells);
    free(dz);
}
