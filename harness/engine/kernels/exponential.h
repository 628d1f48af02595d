/* e^x for the kernels on a CPU: compilers make loops of it that compute many at once. */

#include <stdint.h>
#include <string.h>

/* e^x with a relative error of 1e-7, 0 for x < -87: x = n log 2 + r, and a polynomial for e^r
   (Cephes expf). */
static inline float exponential(float x) {
    float inside = x > 88.0f ? 88.0f : x;
    inside = inside < -87.0f ? -87.0f : inside;
    float n = (inside * 1.44269504f + 12582912.0f) - 12582912.0f; /* round to nearest */
    float r = inside - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691e-4f;
    p = p * r + 1.3981999e-3f;
    p = p * r + 8.3334519e-3f;
    p = p * r + 4.1665796e-2f;
    p = p * r + 1.6666665e-1f;
    p = p * r + 5.0000001e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    return x < -87.0f ? 0.0f : p * scale;
}
