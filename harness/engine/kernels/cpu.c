/* Fused bf16 kernels for a CPU; cpu.py describes their arguments.

   Tensors are contiguous unless strides are passed. Each kernel computes in fp32 and rounds to bf16
   where the corresponding sequence of torch operations does. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "exponential.h"

typedef uint16_t bf16;
typedef int64_t size;

static inline float to_float(bf16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline bf16 to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16; /* ties to even */
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (bf16)nearest; /* keep NaN */
}

static inline float rounded(float x) { return to_float(to_bf16(x)); }

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

void gate(const bf16 *restrict both, bf16 *restrict out, size rows, size n) {
    for (size row = 0; row < rows; row++, both += 2 * n, out += n) {
#pragma omp simd
        for (size i = 0; i < n; i++) {
            float g = to_float(both[i]);
            out[i] = to_bf16(rounded(g * sigmoid(g)) * to_float(both[n + i]));
        }
    }
}

void gate_back(const bf16 *restrict both, const bf16 *restrict gradient, bf16 *restrict grad_both,
               bf16 *restrict out, size rows, size n) {
    for (size row = 0; row < rows;
         row++, both += 2 * n, gradient += n, grad_both += 2 * n, out += n) {
#pragma omp simd
        for (size i = 0; i < n; i++) {
            float g = to_float(both[i]), u = to_float(both[n + i]), grad = to_float(gradient[i]);
            float sig = sigmoid(g);
            float silu = rounded(g * sig);
            grad_both[i] = to_bf16(rounded(grad * u) * sig * (1.0f + g * (1.0f - sig)));
            grad_both[n + i] = to_bf16(grad * silu);
            out[i] = to_bf16(silu * u);
        }
    }
}

void norm(const bf16 *restrict x, const bf16 *restrict weight, bf16 *restrict out,
          float *restrict inverse, size rows, size n, float epsilon) {
    for (size row = 0; row < rows; row++, x += n, out += n) {
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (size i = 0; i < n; i++) sum += to_float(x[i]) * to_float(x[i]);
        float inverse_rms = inverse[row] = 1.0f / sqrtf(sum / n + epsilon);
#pragma omp simd
        for (size i = 0; i < n; i++)
            out[i] = to_bf16(rounded(to_float(x[i]) * inverse_rms) * to_float(weight[i]));
    }
}

void norm_back(const bf16 *restrict x, const bf16 *restrict weight, const float *restrict inverse,
               const bf16 *restrict gradient, bf16 *restrict out, size rows, size n) {
    for (size row = 0; row < rows; row++, x += n, gradient += n, out += n) {
        float inverse_rms = inverse[row], sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (size i = 0; i < n; i++)
            sum += rounded(to_float(gradient[i]) * to_float(weight[i])) *
                   (to_float(x[i]) * inverse_rms);
        float projection = sum / n;
#pragma omp simd
        for (size i = 0; i < n; i++) {
            float grad = rounded(to_float(gradient[i]) * to_float(weight[i]));
            out[i] = to_bf16((grad - projection * (to_float(x[i]) * inverse_rms)) * inverse_rms);
        }
    }
}

/* Rotary embedding, or its gradient if `back`. source and target may be the same; source_row and
   target_row are their row strides. */
void turn(const bf16 *source, bf16 *target, const bf16 *restrict cosine, const bf16 *restrict sine,
          size source_row, size target_row, size rows, size heads, size half, size back) {
    float sign = back ? 1.0f : -1.0f;
    for (size row = 0; row < rows; row++, cosine += 2 * half, sine += 2 * half) {
        const bf16 *sine_first = back ? sine + half : sine;
        const bf16 *sine_second = back ? sine : sine + half;
        for (size head = 0; head < heads; head++) {
            const bf16 *from = source + row * source_row + 2 * head * half;
            bf16 *to = target + row * target_row + 2 * head * half;
#pragma omp simd
            for (size i = 0; i < half; i++) {
                float first = to_float(from[i]), second = to_float(from[half + i]);
                to[i] = to_bf16(rounded(first * to_float(cosine[i])) +
                                sign * rounded(second * to_float(sine_first[i])));
                to[half + i] = to_bf16(rounded(second * to_float(cosine[half + i])) -
                                       sign * rounded(first * to_float(sine_second[i])));
            }
        }
    }
}

/* Cross entropy of each row; the logits are overwritten by their gradient. */
void loss_rows(bf16 *restrict logits, const int64_t *restrict labels, float *restrict losses,
               size rows, size n) {
    for (size row = 0; row < rows; row++, logits += n) {
        float highest = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : highest)
        for (size i = 0; i < n; i++)
            highest = to_float(logits[i]) > highest ? to_float(logits[i]) : highest;
#pragma omp simd reduction(+ : sum)
        for (size i = 0; i < n; i++) sum += exponential(to_float(logits[i]) - highest);
        float weight = labels[row] < 0 ? 0.0f : 1.0f, scale = weight / sum;
        size label = labels[row] < 0 ? 0 : labels[row];
        float at_label = to_float(logits[label]);
        losses[row] = weight * (logf(sum) + highest - at_label);
#pragma omp simd
        for (size i = 0; i < n; i++)
            logits[i] = to_bf16(exponential(to_float(logits[i]) - highest) * scale);
        logits[label] = to_bf16(exponential(at_label - highest) * scale - weight);
    }
}
