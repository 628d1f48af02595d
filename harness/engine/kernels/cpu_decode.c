/* fp32 kernels for decoding on a CPU; cpu_decode.py describes their arguments.

   Each is shared by the threads of OpenMP. What a row gets does not depend on how many rows or
   threads there are. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "exponential.h"

typedef int64_t size;

#ifdef __AVX512F__
enum { LANES = 16, TALL = 12 };
#else
enum { LANES = 8, TALL = 6 };
#endif
enum { WIDE = 2 * LANES, DEEP = 768, LINE = 16 };
/* A tile of TALL rows and WIDE columns of a product fits the registers; DEEP numbers of WIDE
   columns fit the second cache; LINE floats are one line of it. */

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4)));
typedef float eight __attribute__((vector_size(32), aligned(4)));
#ifdef __clang__
#define MIXED(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t places __attribute__((vector_size(32)));
#define MIXED(a, b, ...) __builtin_shuffle(a, b, (places){__VA_ARGS__})
#endif

/* Store the transpose of 8 x 8 numbers. */
static inline void transpose(const float *from, size stride, float *to) {
    eight a[8], b[8];
    for (int i = 0; i < 8; i++) a[i] = *(const eight *)(from + i * stride);
    for (int i = 0; i < 8; i += 2) {
        b[i] = MIXED(a[i], a[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        b[i + 1] = MIXED(a[i], a[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            a[i + 2 * j] = MIXED(b[i + j], b[i + 2 + j], 0, 1, 8, 9, 4, 5, 12, 13);
            a[i + 2 * j + 1] = MIXED(b[i + j], b[i + 2 + j], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < 4; i++) {
        *(eight *)(to + i * WIDE) = MIXED(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(eight *)(to + (i + 4) * WIDE) = MIXED(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* The weights of up to WIDE columns (rows of w), side by side for each of `depth` numbers. */
static void pack(const float *w, size stride, size columns, size depth, float *restrict panel) {
    size whole = columns == WIDE ? depth / 8 * 8 : 0;
    for (size k = 0; k < whole; k += 8)
        for (size j = 0; j < WIDE; j += 8) transpose(w + j * stride + k, stride, panel + k * WIDE + j);
    for (size k = whole; k < depth; k++)
        for (size j = 0; j < WIDE; j++) panel[k * WIDE + j] = j < columns ? w[j * stride + k] : 0.0f;
}

/* out += x panel, for a constant number of rows; meanwhile some lines of `next` are fetched. */
static inline __attribute__((always_inline)) void tile(const int rows, const float *x, size x_row,
                                                       const float *panel, size depth, float *out,
                                                       size out_row, const float *next, int lines) {
    lanes sums[TALL][2];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++) sums[i][j] = *(const lanes *)(out + i * out_row + j * LANES);
    for (size k = 0; k < depth;) {
        for (int i = 0; i < lines; i++, next += LINE) __builtin_prefetch(next, 0, 2);
        for (size end = k + LINE < depth ? k + LINE : depth; k < end; k++)
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < 2; j++)
                    sums[i][j] += x[i * x_row + k] * *(const lanes *)(panel + k * WIDE + j * LANES);
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++) *(lanes *)(out + i * out_row + j * LANES) = sums[i][j];
}

static void tile_of(size rows, const float *x, size x_row, const float *panel, size depth,
                    float *out, size out_row, const float *next, int lines) {
#define CASE(n) case n: tile(n, x, x_row, panel, depth, out, out_row, next, lines); break;
    switch (rows) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#ifdef __AVX512F__
        CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
    }
}

/* WIDE or fewer columns of out = x w' + bias, or of out += x w' + bias. */
static void columns_of(const float *x, const float *w, const float *bias, float *out, size rows,
                       size n, size depth, size columns, size add, float *panel) {
    size parts = (depth + DEEP - 1) / DEEP, step = ((depth + parts - 1) / parts + 7) / 8 * 8;
    size tiles = (rows + TALL - 1) / TALL;
    int lines = (WIDE + tiles - 1) / tiles; /* the tiles together fetch what is packed next */
    for (size row = 0; row < rows; row++)
        for (size j = 0; j < columns; j++)
            out[row * n + j] = (add ? out[row * n + j] : 0.0f) + (bias ? bias[j] : 0.0f);
    for (size from = 0; from < depth; from += step) {
        size some = depth - from < step ? depth - from : step;
        pack(w + from, depth, columns, some, panel);
        const float *next = w + WIDE * depth + WIDE * from;
        for (size row = 0; row < rows; row += TALL, next += some / LINE * lines * LINE) {
            size few = rows - row < TALL ? rows - row : TALL;
            const float *some_x = x + row * depth + from;
            float *to = out + row * n, edge[TALL * WIDE];
            if (columns == WIDE) {
                tile_of(few, some_x, depth, panel, some, to, n, next, lines);
                continue;
            }
            for (size i = 0; i < few; i++) memcpy(edge + i * WIDE, to + i * n, 4 * columns);
            tile_of(few, some_x, depth, panel, some, edge, WIDE, next, lines);
            for (size i = 0; i < few; i++) memcpy(to + i * n, edge + i * WIDE, 4 * columns);
        }
    }
}

void product(const float *x, const float *w, const float *bias, float *out, size rows, size n,
             size depth, size add, size threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size column = 0; column < n; column += WIDE) {
        float panel[DEEP * WIDE] __attribute__((aligned(64)));
        size columns = n - column < WIDE ? n - column : WIDE;
        columns_of(x, w + column * depth, bias ? bias + column : NULL, out + column, rows, n, depth,
                   columns, add, panel);
    }
}

static inline void turn(float *x, const float *cosine, const float *sine, size half) {
#pragma omp simd
    for (size i = 0; i < half; i++) {
        float first = x[i], second = x[half + i];
        x[i] = first * cosine[i] - second * sine[i];
        x[half + i] = second * cosine[half + i] + first * sine[half + i];
    }
}

/* The attention of `group` query heads of one token to `count` keys and values. */
static void attended(const float *query, const float *keys, const float *values, float *restrict out,
                     float *restrict scores, size group, size count, size width, float scale) {
    for (size i = 0; i < count; i++)
        for (size head = 0; head < group; head++) {
            float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
            for (size d = 0; d < width; d++) sum += query[head * width + d] * keys[i * width + d];
            scores[head * count + i] = sum * scale;
        }
    memset(out, 0, sizeof(float) * group * width);
    for (size head = 0; head < group; head++) {
        float *own = scores + head * count, highest = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : highest)
        for (size i = 0; i < count; i++) highest = own[i] > highest ? own[i] : highest;
#pragma omp simd reduction(+ : sum)
        for (size i = 0; i < count; i++) sum += own[i] = exponential(own[i] - highest);
#pragma omp simd
        for (size i = 0; i < count; i++) own[i] /= sum;
    }
    for (size i = 0; i < count; i++)
        for (size head = 0; head < group; head++)
#pragma omp simd
            for (size d = 0; d < width; d++)
                out[head * width + d] += scores[head * count + i] * values[i * width + d];
}

/* copies: (from, to, tokens) of slots, in this order, of what is there when the new tokens are. */
void attend(float *projected, const float *cosine, const float *sine, float *keys, float *values,
            const int64_t *slots, const int64_t *at, const int64_t *copies, float *out, size tokens,
            size many, size queries, size kv_heads, size width, size slot_stride, size head_stride,
            float scale, size threads) {
    size group = queries / kv_heads, every = queries + 2 * kv_heads, longest = 0;
    for (size i = 0; i < tokens; i++) longest = at[i] + 1 > longest ? at[i] + 1 : longest;
#pragma omp parallel num_threads(threads)
    {
        float *scores = malloc(sizeof(float) * group * longest);
#pragma omp for schedule(static)
        for (size i = 0; i < tokens; i++) {
            float *own = projected + i * every * width;
            size place = slots[i] * slot_stride + at[i] * width;
            for (size head = 0; head < queries + kv_heads; head++)
                turn(own + head * width, cosine + i * width, sine + i * width, width / 2);
            for (size head = 0; head < kv_heads; head++, place += head_stride) {
                float *key = own + (queries + head) * width;
                memcpy(keys + place, key, sizeof(float) * width);
                memcpy(values + place, key + kv_heads * width, sizeof(float) * width);
            }
        }
#pragma omp for schedule(static)
        for (size head = 0; head < kv_heads; head++)
            for (size i = 0; i < many; i++) {
                size from = copies[3 * i] * slot_stride + head * head_stride;
                size to = copies[3 * i + 1] * slot_stride + head * head_stride;
                memcpy(keys + to, keys + from, sizeof(float) * copies[3 * i + 2] * width);
                memcpy(values + to, values + from, sizeof(float) * copies[3 * i + 2] * width);
            }
#pragma omp for schedule(dynamic, 4)
        for (size i = 0; i < tokens; i++)
            for (size head = 0; head < kv_heads; head++) {
                size place = slots[i] * slot_stride + head * head_stride;
                attended(projected + (i * every + head * group) * width, keys + place,
                         values + place, out + (i * queries + head * group) * width, scores, group,
                         at[i] + 1, width, scale);
            }
        free(scores);
    }
}
