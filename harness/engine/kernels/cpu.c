/* What torch does on a CPU in several passes over memory, in one. See cpu_kernels.py.

   Rows of bf16 numbers lie one behind the other. Each function computes in fp32 and rounds where
   torch's operations, one after the other, would. */

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;
typedef int64_t size;

static inline float wide(bf16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float made;
    memcpy(&made, &bits, 4);
    return made;
}

static inline bf16 narrow(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16; /* halves to even */
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (bf16)nearest; /* no number stays none */
}

static inline float rounded(float x) { return wide(narrow(x)); }

/* e^x to 1e-7 of it, 0 far below: x = n log 2 + r, and a polynomial for e^r. */
static inline float exponential(float x) {
    float inside = x > 88.0f ? 88.0f : x;
    inside = inside < -87.0f ? -87.0f : inside;
    float n = (inside * 1.44269504f + 12582912.0f) - 12582912.0f; /* the nearest whole number */
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

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

void gate(const bf16 *restrict both, bf16 *restrict out, size rows, size n) {
    for (size row = 0; row < rows; row++, both += 2 * n, out += n) {
#pragma omp simd
        for (size i = 0; i < n; i++) {
            float g = wide(both[i]);
            out[i] = narrow(rounded(g * sigmoid(g)) * wide(both[n + i]));
        }
    }
}

void gate_back(const bf16 *restrict both, const bf16 *restrict gradient, bf16 *restrict by_both,
               bf16 *restrict out, size rows, size n) {
    for (size row = 0; row < rows; row++, both += 2 * n, gradient += n, by_both += 2 * n, out += n) {
#pragma omp simd
        for (size i = 0; i < n; i++) {
            float g = wide(both[i]), u = wide(both[n + i]), come = wide(gradient[i]);
            float share = sigmoid(g);
            float opened = rounded(g * share);
            by_both[i] = narrow(rounded(come * u) * share * (1.0f + g * (1.0f - share)));
            by_both[n + i] = narrow(come * opened);
            out[i] = narrow(opened * u);
        }
    }
}

void norm(const bf16 *restrict x, const bf16 *restrict weight, bf16 *restrict out,
          float *restrict inverse, size rows, size n, float epsilon) {
    for (size row = 0; row < rows; row++, x += n, out += n) {
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (size i = 0; i < n; i++) sum += wide(x[i]) * wide(x[i]);
        float share = inverse[row] = 1.0f / sqrtf(sum / n + epsilon);
#pragma omp simd
        for (size i = 0; i < n; i++) out[i] = narrow(rounded(wide(x[i]) * share) * wide(weight[i]));
    }
}

void norm_back(const bf16 *restrict x, const bf16 *restrict weight, const float *restrict inverse,
               const bf16 *restrict gradient, bf16 *restrict out, size rows, size n) {
    for (size row = 0; row < rows; row++, x += n, gradient += n, out += n) {
        float share = inverse[row], sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (size i = 0; i < n; i++)
            sum += rounded(wide(gradient[i]) * wide(weight[i])) * (wide(x[i]) * share);
        float along = sum / n;
#pragma omp simd
        for (size i = 0; i < n; i++) {
            float come = rounded(wide(gradient[i]) * wide(weight[i]));
            out[i] = narrow((come - along * (wide(x[i]) * share)) * share);
        }
    }
}

/* source and target may be one; their rows begin so many numbers apart. */
void turn(const bf16 *source, bf16 *target, const bf16 *restrict cosine, const bf16 *restrict sine,
          size source_row, size target_row, size rows, size heads, size half, size back) {
    for (size row = 0; row < rows; row++, cosine += 2 * half, sine += 2 * half) {
        const bf16 *sine_first = back ? sine + half : sine, *sine_second = back ? sine : sine + half;
        for (size head = 0; head < heads; head++) {
            const bf16 *from = source + row * source_row + 2 * head * half;
            bf16 *to = target + row * target_row + 2 * head * half;
#pragma omp simd
            for (size i = 0; i < half; i++) {
                float first = wide(from[i]), second = wide(from[half + i]);
                to[i] = narrow(rounded(first * wide(cosine[i])) +
                               rounded(second * wide(sine_first[i])));
                to[half + i] = narrow(rounded(second * wide(cosine[half + i])) +
                                      rounded(first * wide(sine_second[i])));
            }
        }
    }
}

/* -log softmax(logits)[label] of each row, whose logits become the gradient of it. */
void loss_rows(bf16 *restrict logits, const int64_t *restrict labels, float *restrict losses,
               size rows, size n) {
    for (size row = 0; row < rows; row++, logits += n) {
        float highest = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : highest)
        for (size i = 0; i < n; i++) highest = wide(logits[i]) > highest ? wide(logits[i]) : highest;
#pragma omp simd reduction(+ : sum)
        for (size i = 0; i < n; i++) sum += exponential(wide(logits[i]) - highest);
        float counts = labels[row] < 0 ? 0.0f : 1.0f, whole = counts / sum;
        size label = labels[row] < 0 ? 0 : labels[row];
        float at_label = wide(logits[label]);
        losses[row] = counts * (logf(sum) + highest - at_label);
#pragma omp simd
        for (size i = 0; i < n; i++) logits[i] = narrow(exponential(wide(logits[i]) - highest) * whole);
        logits[label] = narrow(exponential(at_label - highest) * whole - counts);
    }
}

/* softmax(scale scores + bias) of scores (squares * m, n), in place in fp32 and rounded in out;
   `each` consecutive squares (m, n) have the same bias. */
void softmax(float *restrict scores, const float *restrict bias, bf16 *restrict out, size squares,
            size each, size m, size n, float scale) {
    for (size row = 0; row < squares * m; row++, scores += n, out += n) {
        const float *own = bias + (row / (each * m) * m + row % m) * n;
        float highest = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : highest)
        for (size i = 0; i < n; i++) {
            float score = scores[i] = scores[i] * scale + own[i];
            highest = score > highest ? score : highest;
        }
#pragma omp simd reduction(+ : sum)
        for (size i = 0; i < n; i++) sum += scores[i] = exponential(scores[i] - highest);
        float whole = 1.0f / sum;
#pragma omp simd
        for (size i = 0; i < n; i++) {
            scores[i] *= whole;
            out[i] = narrow(scores[i]);
        }
    }
}

/* The gradient with respect to scores from that of their softmax, both (rows, n), in place. */
void softmax_back(bf16 *restrict gradient, const bf16 *restrict share, size rows, size n, float scale) {
    for (size row = 0; row < rows; row++, gradient += n, share += n) {
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (size i = 0; i < n; i++) sum += wide(gradient[i]) * wide(share[i]);
#pragma omp simd
        for (size i = 0; i < n; i++)
            gradient[i] = narrow((wide(gradient[i]) - sum) * wide(share[i]) * scale);
    }
}

/* One block of a tree's rows, whose tokens attend at places: R rows of n places, of which the last m
   ask. `tokens` says which token stands in each place, and `slots` at which of all places, counted
   from `first` in this block, a token asks. A token has `queries` heads, then `keys` of keys and as
   many of values, each `width` numbers. */
typedef struct {
    const int64_t *tokens, *slots;
    size first, rows, n, m, queries, keys, width;
} block;

/* Where the asking place p of row r has its head h among (R * keys, group * m, width). */
static inline size asking(const block *b, size r, size p, size h) {
    size group = b->queries / b->keys;
    return (((r * b->keys + h / group) * group + h % group) * b->m + p - (b->n - b->m)) * b->width;
}

static inline size asked_of(const block *b, size r, size k, size p) {
    return ((r * b->keys + k) * b->n + p) * b->width;
}

/* each (T, queries + 2 keys, width) as queries (R * keys, group * m, width) and as keys and values
   (R * keys, n, width), all in bf16 and in fp32. */
void split(const block *b, const bf16 *restrict each, bf16 *restrict query, float *restrict query_wide,
           bf16 *restrict other, float *restrict other_wide) {
    size half = b->rows * b->keys * b->n * b->width;
    for (size r = 0; r < b->rows; r++)
        for (size p = 0; p < b->n; p++) {
            const bf16 *from = each + b->tokens[r * b->n + p] * (b->queries + 2 * b->keys) * b->width;
            for (size h = 0; h < b->queries && p >= b->n - b->m; h++) {
                size at = asking(b, r, p, h);
                for (size i = 0; i < b->width; i++) {
                    query[at + i] = from[h * b->width + i];
                    query_wide[at + i] = wide(from[h * b->width + i]);
                }
            }
            from += b->queries * b->width;
            for (size k = 0; k < 2 * b->keys; k++) {
                size at = asked_of(b, r, k % b->keys, p) + k / b->keys * half;
                for (size i = 0; i < b->width; i++) {
                    other[at + i] = from[k * b->width + i];
                    other_wide[at + i] = wide(from[k * b->width + i]);
                }
            }
        }
}

/* What the asking tokens were given, (R * keys, group * m, width), into out (T, queries, width). */
void join(const block *b, const float *restrict given, bf16 *restrict out) {
    for (size r = 0; r < b->rows; r++)
        for (size p = b->n - b->m; p < b->n; p++) {
            size token = b->tokens[r * b->n + p];
            if (b->slots[token] != b->first + r * b->n + p) continue;
            for (size h = 0; h < b->queries; h++) {
                size at = asking(b, r, p, h);
                for (size i = 0; i < b->width; i++)
                    out[(token * b->queries + h) * b->width + i] = narrow(given[at + i]);
            }
        }
}

/* The gradient by what `join` was given; zero where it took nothing. */
void join_back(const block *b, const bf16 *restrict gradient, bf16 *restrict by_given) {
    for (size r = 0; r < b->rows; r++)
        for (size p = b->n - b->m; p < b->n; p++) {
            size token = b->tokens[r * b->n + p];
            int took = b->slots[token] == b->first + r * b->n + p;
            for (size h = 0; h < b->queries; h++) {
                size at = asking(b, r, p, h);
                for (size i = 0; i < b->width; i++)
                    by_given[at + i] = took ? gradient[(token * b->queries + h) * b->width + i] : 0;
            }
        }
}

/* The gradient by what `split` was given: queries into by_each (T, queries + 2 keys, width), keys and
   values added to sums (T, 2 keys, width), since several places may show one token. */
void split_back(const block *b, const bf16 *restrict by_query, const bf16 *restrict by_key,
                const bf16 *restrict by_value, bf16 *restrict by_each, float *restrict sums) {
    for (size r = 0; r < b->rows; r++)
        for (size p = 0; p < b->n; p++) {
            size token = b->tokens[r * b->n + p];
            bf16 *into = by_each + token * (b->queries + 2 * b->keys) * b->width;
            int asks = b->slots[token] == b->first + r * b->n + p;
            for (size h = 0; h < b->queries && asks; h++)
                memcpy(into + h * b->width, by_query + asking(b, r, p, h), b->width * sizeof(bf16));
            for (size k = 0; k < b->keys; k++) {
                size at = asked_of(b, r, k, p);
                float *sum = sums + (token * 2 * b->keys + k) * b->width;
                for (size i = 0; i < b->width; i++) {
                    sum[i] += wide(by_key[at + i]);
                    sum[b->keys * b->width + i] += wide(by_value[at + i]);
                }
            }
        }
}

/* The sums of `split_back`, rounded, into their columns of by_each. */
void sum_up(const float *restrict sums, bf16 *restrict by_each, size tokens, size before, size n) {
    for (size token = 0; token < tokens; token++, sums += n, by_each += before + n)
        for (size i = 0; i < n; i++) by_each[before + i] = narrow(sums[i]);
}
