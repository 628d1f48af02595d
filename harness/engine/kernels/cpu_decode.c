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
enum { WIDE = 2 * LANES, DEEP = 768, LINE = 16, RUN = 16, ENOUGH = 100000 };
/* A tile of TALL rows and WIDE columns of a product fits the registers; DEEP numbers of WIDE
   columns fit the second cache; LINE floats are one line of it. RUN tokens of a slot attend
   together. ENOUGH numbers to norm or to gate are worth a second thread. */

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
static inline __attribute__((always_inline)) void
tile(const int rows, const float *x, size x_row, const float *panel, size panel_row, size depth,
     float *out, size out_row, const float *next, int lines) {
    lanes sums[TALL][2];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++) sums[i][j] = *(const lanes *)(out + i * out_row + j * LANES);
    for (size k = 0; k < depth;) {
        for (int i = 0; i < lines; i++, next += LINE) __builtin_prefetch(next, 0, 3);
        for (size end = k + LINE < depth ? k + LINE : depth; k < end; k++, panel += panel_row)
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < 2; j++)
                    sums[i][j] += x[i * x_row + k] * *(const lanes *)(panel + j * LANES);
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++) *(lanes *)(out + i * out_row + j * LANES) = sums[i][j];
}

/* out (rows, columns) += x (rows, depth) panel (depth, columns), for up to WIDE columns; `next`,
   which is as large as the panel, is fetched, if there is one. */
static void tiles(size rows, const float *x, size x_row, const float *panel, size panel_row,
                  size depth, float *out, size out_row, size columns, const float *next) {
    size count = (rows + TALL - 1) / TALL;
    int lines = next ? (WIDE + count - 1) / count : 0;
    for (size row = 0; row < rows; row += TALL, x += TALL * x_row, out += TALL * out_row) {
        size few = rows - row < TALL ? rows - row : TALL;
        float edge[TALL * WIDE], *to = columns < WIDE ? edge : out;
        size to_row = columns < WIDE ? WIDE : out_row;
        if (columns < WIDE)
            for (size i = 0; i < few; i++)
                memcpy(edge + i * WIDE, out + i * out_row, sizeof(float) * columns);
#define CASE(n) case n: tile(n, x, x_row, panel, panel_row, depth, to, to_row, next, lines); break;
        switch (few) {
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#ifdef __AVX512F__
            CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
        }
        if (columns < WIDE)
            for (size i = 0; i < few; i++)
                memcpy(out + i * out_row, edge + i * WIDE, sizeof(float) * columns);
        if (next) next += depth / LINE * lines * LINE;
    }
}

/* out = x w' + bias, or out += x w' + bias if `add`; w is (n, depth). */
void product(const float *x, const float *w, const float *bias, float *out, size rows, size n,
             size depth, size add, size threads) {
    size parts = (depth + DEEP - 1) / DEEP, step = ((depth + parts - 1) / parts + 7) / 8 * 8;
#pragma omp parallel for schedule(dynamic, 2) num_threads(threads)
    for (size column = 0; column < n; column += WIDE) {
        float panel[DEEP * WIDE] __attribute__((aligned(64))), *to = out + column;
        const float *own = w + column * depth;
        size columns = n - column < WIDE ? n - column : WIDE;
        for (size row = 0; row < rows; row++)
            for (size j = 0; j < columns; j++)
                to[row * n + j] = (add ? to[row * n + j] : 0.0f) + (bias ? bias[column + j] : 0.0f);
        for (size from = 0; from < depth; from += step) {
            size some = depth - from < step ? depth - from : step;
            pack(own + from, depth, columns, some, panel);
            tiles(rows, x + from, depth, panel, WIDE, some, to, n, columns,
                  own + WIDE * (depth + from));
        }
    }
}

void gate(const float *restrict both, float *restrict out, size rows, size n, size threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * n > ENOUGH)
    for (size row = 0; row < rows; row++) {
        const float *opened = both + 2 * row * n, *up = opened + n;
#pragma omp simd
        for (size i = 0; i < n; i++)
            out[row * n + i] = opened[i] / (1.0f + exponential(-opened[i])) * up[i];
    }
}

void norm(const float *restrict x, const float *restrict weight, float *restrict out, size rows,
          size n, float epsilon, size threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * n > ENOUGH)
    for (size row = 0; row < rows; row++) {
        const float *from = x + row * n;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (size i = 0; i < n; i++) sum += from[i] * from[i];
        float inverse_rms = 1.0f / sqrtf(sum / n + epsilon);
#pragma omp simd
        for (size i = 0; i < n; i++) out[row * n + i] = from[i] * inverse_rms * weight[i];
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

/* softmax of the first `count` numbers; the rest up to `all` are 0. */
static inline void softmax(float *x, size count, size all) {
    float highest = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : highest)
    for (size i = 0; i < count; i++) highest = x[i] > highest ? x[i] : highest;
#pragma omp simd reduction(+ : sum)
    for (size i = 0; i < count; i++) sum += x[i] = exponential(x[i] - highest);
#pragma omp simd
    for (size i = 0; i < count; i++) x[i] /= sum;
    memset(x + count, 0, sizeof(float) * (all - count));
}

/* Attention of `rows` queries (rows, width), `group` for each of some tokens in a row, the first of
   which sees `first` keys; panel: room for (max(width, DEEP), WIDE); scores: for (rows, padded),
   where `padded` is what the last one sees, rounded up to whole tiles. `next` is fetched. */
static void attended(const float *query, const float *keys, const float *values, float *out,
                     float *panel, float *scores, size rows, size group, size first, size padded,
                     size width, const float *next) {
    size seen = first + (rows - 1) / group;
    memset(scores, 0, sizeof(float) * rows * padded);
    for (size i = 0; i < seen; i += WIDE) {
        size begin = i < first ? 0 : (i - first + 1) * group; /* rows before do not see these */
        pack(keys + i * width, width, WIDE, width, panel);
        tiles(rows - begin, query + begin * width, width, panel, WIDE, width,
              scores + begin * padded + i, padded, WIDE, values + i * width);
    }
    for (size row = 0; row < rows; row++)
        softmax(scores + row * padded, first + row / group, padded);
    memset(out, 0, sizeof(float) * rows * width);
    for (size d = 0; d < width; d += WIDE) {
        size columns = width - d < WIDE ? width - d : WIDE;
        for (size i = 0; i < seen; i += DEEP, next += WIDE * DEEP) {
            size some = seen - i < DEEP ? seen - i : DEEP, stride = width;
            const float *from = values + i * width + d;
            if (columns < WIDE) { /* a tile reads WIDE columns */
                for (size k = 0; k < some; k++)
                    for (size j = 0; j < WIDE; j++)
                        panel[k * WIDE + j] = j < columns ? from[k * width + j] : 0.0f;
                from = panel, stride = WIDE;
            }
            tiles(rows, scores + i, padded, from, stride, some, out + d, width, columns, next);
        }
    }
}

/* copies: (from, to, tokens) of slots, in this order, of what is there when the new tokens are. */
void attend(float *projected, const float *cosine, const float *sine, float *keys, float *values,
            const int64_t *slots, const int64_t *at, const int64_t *copies, float *out, size tokens,
            size many, size queries, size kv_heads, size width, size slot_stride, size head_stride,
            float scale, size threads) {
    size group = queries / kv_heads, every = queries + 2 * kv_heads, longest = 0, runs = 0;
    size *begins = malloc(sizeof(size) * (tokens + 1));
    for (size i = 0; i < tokens; i++) {
        size begin = runs ? begins[runs - 1] : 0;
        if (!i || i - begin == RUN || slots[i] != slots[i - 1] || at[i] != at[i - 1] + 1)
            begins[runs++] = i;
        longest = at[i] > longest ? at[i] : longest;
    }
    begins[runs] = tokens;
    longest = (longest + WIDE) / WIDE * WIDE;
#pragma omp parallel num_threads(threads)
    {
        size rows = RUN * group, deep = width > DEEP ? width : DEEP;
        float *panel = malloc(sizeof(float) * (deep * WIDE + rows * (2 * width + longest)));
        float *query = panel + deep * WIDE, *made = query + rows * width, *scores = made + rows * width;
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
#pragma omp for schedule(dynamic, 12)
        for (size i = 0; i < runs * kv_heads; i++) {
            size begin = begins[i / kv_heads], count = begins[i / kv_heads + 1] - begin;
            size head = i % kv_heads, place = slots[begin] * slot_stride + head * head_stride;
            size then = head + 1 < kv_heads ? place + head_stride : slots[begins[i / kv_heads + 1] % tokens] * slot_stride;
            for (size row = 0; row < count * group; row++) {
                size of = (begin + row / group) * every + head * group + row % group;
                for (size d = 0; d < width; d++)
                    query[row * width + d] = projected[of * width + d] * scale;
            }
            attended(query, keys + place, values + place, made, panel, scores, count * group, group,
                     at[begin] + 1, (at[begin] + count + WIDE - 1) / WIDE * WIDE, width, keys + then);
            for (size row = 0; row < count; row++)
                memcpy(out + ((begin + row) * queries + head * group) * width,
                       made + row * group * width, sizeof(float) * group * width);
        }
        free(panel);
    }
    free(begins);
}
