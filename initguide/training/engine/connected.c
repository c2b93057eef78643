/* Steps of training for fully connected networks with ReLU and dropout.

   initguide.training.engine compiles this file where there is a compiler, and says what it is for.
   Each step does what PyTorch does, up to rounding, but goes over the memory far less often:
   activations are computed where a product ends, and weights are stepped where their gradient ends.

   Every sum of a product adds its terms in the order of their numbers, whatever the size of the
   vectors. So units that start out the same stay the same to the last bit.

   Weights lie in panels: `width` columns of units, one behind the other, each (in, width). What
   lies by images is (images, stride). The places of units that fill up the last panel are computed
   like the others, and nobody reads them. */

#include <math.h>
#include <stdint.h>
#include <string.h>

/* 6 rows of so many vectors of sums fit into the registers: 32 of them, or 16. */
#if defined(__AVX512F__)
#define LANES 16
#define VECTORS 4
#elif defined(__AVX2__) && defined(__FMA__)
#define LANES 8
#define VECTORS 2
#else
#error "nobody has measured whether this pays on other processors"
#endif
#define ROWS 6
#define TILE (ROWS * VECTORS * LANES)

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 6")
#endif

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

enum { NO_DROPOUT = INT32_MIN };

/* torch's generator of random numbers: the Mersenne Twister of Matsumoto and Nishimura (1998). */
typedef struct {
    uint32_t state[624], ready[624];
    int64_t used;
} generator;

typedef struct {
    int64_t in, out, width, stride;
    int32_t relu, dropped; /* a unit is dropped where its 16 bits are below that */
    float scale;           /* of the units that are kept */
    float *weight[3], *bias[3]; /* parameters, and two moments of their gradients (or NULL) */
    float *outputs, *grads;     /* grads: with respect to the pre-activations */
    float *turned;              /* the weights, in panels of inputs */
    int16_t *bits;
} layer;

typedef struct {
    int64_t count, pixels, stride;
    layer *layers;
    const float *images;
    const int64_t *labels;
    float *inputs; /* of a mini-batch */
    generator *masks;
    int64_t adam, steps;
    double rate, momentum, beta_1, beta_2, epsilon;
    float size, whole; /* for Adam, of this step: what corrects its two moments */
} network;

/* Random numbers */

void initguide_seed(generator *g, uint32_t number)
{
    g->state[0] = number;
    for (uint32_t i = 1; i < 624; i++)
        g->state[i] = 1812433253u * (g->state[i - 1] ^ g->state[i - 1] >> 30) + i;
    g->used = 624;
}

INLINE uint32_t twisted(uint32_t far, uint32_t here, uint32_t next)
{
    uint32_t mixed = (here & 0x80000000u) | (next & 0x7fffffffu);
    return far ^ mixed >> 1 ^ (-(mixed & 1u) & 0x9908b0dfu);
}

static void refill(generator *g)
{
    uint32_t *s = g->state;
    for (int i = 0; i < 227; i++)
        s[i] = twisted(s[i + 397], s[i], s[i + 1]);
    for (int i = 227; i < 623; i++)
        s[i] = twisted(s[i - 227], s[i], s[i + 1]);
    s[623] = twisted(s[396], s[623], s[0]);
    for (int i = 0; i < 624; i++) {
        uint32_t y = s[i];
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c5680u;
        y ^= y << 15 & 0xefc60000u;
        g->ready[i ^ 1] = y ^ y >> 18; /* torch makes 64 bits of two numbers, the first on top */
    }
    g->used = 0;
}

/* What `Tensor.random_` draws into so many int64, read as 16 bits at a time. */
static void draw(generator *g, int16_t *bits, int64_t words)
{
    for (int64_t left = 2 * words; left;) {
        if (g->used == 624)
            refill(g);
        int64_t some = left < 624 - g->used ? left : 624 - g->used;
        memcpy(bits, g->ready + g->used, 4 * some);
        g->used += some;
        bits += 2 * some;
        left -= some;
    }
}

void initguide_draw(generator *g, int16_t *bits, int64_t words) { draw(g, bits, words); }

/* Products */

int64_t initguide_lanes(void) { return LANES; }

int64_t initguide_vectors(void) { return VECTORS; }

/* tile (rows, vectors) = the sum over t of a[i * row + t * step] times b[t * width], a vector */
INLINE void product(const int rows, const int vectors, int64_t depth, const float *a, int64_t row,
                    int64_t step, const float *b, int64_t b_step, float *tile)
{
    vector sum[ROWS][VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
        for (int j = 0; j < vectors; j++)
            sum[i][j] = (vector){0};
    for (int64_t t = 0; t < depth; t++, a += step, b += b_step) {
        vector right[VECTORS];
        UNROLL
        for (int j = 0; j < vectors; j++)
            right[j] = *(const vector *)(b + j * LANES);
        UNROLL
        for (int i = 0; i < rows; i++) {
            float left = a[i * row];
            UNROLL
            for (int j = 0; j < vectors; j++)
                sum[i][j] += left * right[j];
        }
    }
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
        for (int j = 0; j < vectors; j++)
            *(vector *)(tile + (i * vectors + j) * LANES) = sum[i][j];
}

/* The compiler keeps the sums in registers where it knows how many there are. */
static void multiply(int64_t rows, int64_t width, int64_t depth, const float *a, int64_t row,
                     int64_t step, const float *b, int64_t b_step, float *tile)
{
#define CASE(r, v) \
    case 8 * (r) + (v): \
        product(r, v, depth, a, row, step, b, b_step, tile); \
        break;
#define CASES(v) CASE(1, v) CASE(2, v) CASE(3, v) CASE(4, v) CASE(5, v) CASE(6, v)
    switch (8 * rows + width / LANES) {
        CASES(1)
        CASES(2)
#if VECTORS == 4
        CASES(4)
#endif
    }
}

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* A step, layer by layer */

/* Units of the last panel of a layer are fewer than its width. */
INLINE void drop(const layer *l, int64_t image, int64_t unit, float *values)
{
    const int64_t some = least(l->width, l->out - unit);
    const int16_t *bits = l->bits + image * l->out + unit;
    const int32_t dropped = l->dropped;
    const float scale = l->scale;
    for (int64_t j = 0; j < some; j++)
        values[j] *= bits[j] >= dropped ? scale : 0;
}

static void forward(const layer *l, const float *x, int64_t x_stride, int64_t n)
{
    const int64_t width = l->width;
    float tile[TILE];
    for (int64_t unit = 0; unit < l->out; unit += width)
        for (int64_t r = 0; r < n; r += ROWS) {
            const int64_t rows = least(ROWS, n - r);
            multiply(rows, width, l->in, x + r * x_stride, x_stride, 1,
                     l->weight[0] + unit * l->in, width, tile);
            for (int64_t i = 0; i < rows; i++) {
                float *restrict h = l->outputs + (r + i) * l->stride + unit;
                const float *bias = l->bias[0] + unit, *z = tile + i * width;
                if (l->relu)
                    for (int64_t j = 0; j < width; j++)
                        h[j] = z[j] + bias[j] <= 0 ? 0 : z[j] + bias[j]; /* NaN stays NaN */
                else
                    for (int64_t j = 0; j < width; j++)
                        h[j] = z[j] + bias[j];
                if (l->dropped != NO_DROPOUT)
                    drop(l, r + i, unit, h);
            }
        }
}

/* Mean cross-entropy of some scores, and its gradient. */
static float cross_entropy(const layer *l, const int64_t *labels, const int64_t *order, int64_t n)
{
    float total = 0;
    for (int64_t r = 0; r < n; r++) {
        const float *scores = l->outputs + r * l->stride;
        float *grads = l->grads + r * l->stride;
        const int64_t label = labels[order[r]];
        float most = scores[0], sum = 0;
        for (int64_t j = 1; j < l->out; j++)
            most = scores[j] > most ? scores[j] : most;
        for (int64_t j = 0; j < l->out; j++)
            sum += grads[j] = expf(scores[j] - most);
        total += logf(sum) - (scores[label] - most);
        for (int64_t j = 0; j < l->out; j++)
            grads[j] = (grads[j] / sum - (j == label)) / n;
    }
    return total / n;
}

/* The weights, in panels of inputs that are as wide as those of the layer below. */
static void turn(const layer *l, int64_t wide)
{
    for (int64_t q = 0; q < l->in; q += wide) {
        const int64_t inputs = least(wide, l->in - q);
        for (int64_t unit = 0; unit < l->out; unit += l->width) {
            const int64_t units = least(l->width, l->out - unit);
            const float *from = l->weight[0] + unit * l->in + q * l->width;
            float *restrict to = l->turned + q * l->out + unit * wide;
            for (int64_t k = 0; k < inputs; k++)
                for (int64_t j = 0; j < units; j++)
                    to[j * wide + k] = from[k * l->width + j];
        }
    }
}

/* Gradients of the layer below, from those of a layer. */
static void backward(const layer *below, const layer *l, int64_t n)
{
    const int64_t width = below->width;
    float tile[TILE];
    turn(l, width);
    for (int64_t unit = 0; unit < below->out; unit += width)
        for (int64_t r = 0; r < n; r += ROWS) {
            const int64_t rows = least(ROWS, n - r);
            multiply(rows, width, l->out, l->grads + r * l->stride, l->stride, 1,
                     l->turned + unit * l->out, width, tile);
            for (int64_t i = 0; i < rows; i++) {
                const float *h = below->outputs + (r + i) * below->stride + unit;
                float *restrict grads = below->grads + (r + i) * below->stride + unit;
                const float scale = below->scale;
                if (below->relu) { /* what was dropped is 0, too */
                    for (int64_t j = 0; j < width; j++)
                        grads[j] = h[j] <= 0 ? 0 : tile[i * width + j] * scale;
                } else {
                    memcpy(grads, tile + i * width, 4 * width);
                    if (below->dropped != NO_DROPOUT)
                        drop(below, r + i, unit, grads);
                }
            }
        }
}

/* Change some parameters, whose gradients are given: p[0], with the moments p[1] and p[2]. */
INLINE void step(const network *net, float *const p[3], int64_t at, const float *grads,
                 int64_t count)
{
    float *restrict w = p[0] + at, *restrict first = p[1] + at, *restrict second = p[2] + at;
    if (net->adam) {
        const float b1 = 1 - net->beta_1, b2 = net->beta_2, rest = 1 - net->beta_2;
        const float size = net->size, whole = net->whole, epsilon = net->epsilon;
        for (int64_t i = 0; i < count; i++) {
            first[i] += b1 * (grads[i] - first[i]);
            second[i] = b2 * second[i] + rest * grads[i] * grads[i];
            w[i] -= size * first[i] / (sqrtf(second[i]) * whole + epsilon);
        }
        return;
    }
    const float rate = net->rate, kept = net->momentum;
    for (int64_t i = 0; i < count; i++) {
        const float change = kept ? kept * first[i] + grads[i] : grads[i];
        if (kept)
            first[i] = change;
        w[i] -= rate * change;
    }
}

/* Step with a layer's parameters, whose gradients need not be kept. */
static void update(const network *net, const layer *l, const float *x, int64_t x_stride, int64_t n)
{
    const int64_t width = l->width;
    float tile[TILE];
    for (int64_t unit = 0; unit < l->out; unit += width) {
        const float *grads = l->grads + unit;
        for (int64_t k = 0; k < l->in; k += ROWS) {
            const int64_t rows = least(ROWS, l->in - k);
            multiply(rows, width, n, x + k, 1, x_stride, grads, l->stride, tile);
            step(net, l->weight, unit * l->in + k * width, tile, rows * width);
        }
        if (!l->bias[1])
            continue; /* a layer without biases: they stay 0 */
        memset(tile, 0, sizeof(float) * width);
        for (int64_t r = 0; r < n; r++)
            for (int64_t j = 0; j < width; j++)
                tile[j] += grads[r * l->stride + j];
        step(net, l->bias, unit, tile, width);
    }
}

/* Train on images of these numbers, so many at a time; losses: one for each mini-batch. */
void initguide_train(network *net, const int64_t *order, int64_t count, int64_t batch,
                     float *losses)
{
    layer *first = net->layers, *last = net->layers + net->count - 1;
    for (; count > 0; count -= batch, order += batch) {
        const int64_t n = least(batch, count);
        for (int64_t r = 0; r < n; r++)
            memcpy(net->inputs + r * net->stride, net->images + order[r] * net->pixels,
                   4 * net->pixels);
        for (layer *l = first; l <= last; l++) {
            if (l->dropped != NO_DROPOUT)
                draw(net->masks, l->bits, (n * l->out + 3) / 4);
            if (l == first)
                forward(l, net->inputs, net->stride, n);
            else
                forward(l, (l - 1)->outputs, (l - 1)->stride, n);
        }
        *losses++ = cross_entropy(last, net->labels, order, n);
        net->steps++;
        net->size = net->rate / (1 - pow(net->beta_1, net->steps));
        net->whole = 1 / sqrt(1 - pow(net->beta_2, net->steps));
        /* In this order: the gradients of the layer below need the weights before their step. */
        for (layer *l = last; l > first; l--) {
            backward(l - 1, l, n);
            update(net, l, (l - 1)->outputs, (l - 1)->stride, n);
        }
        update(net, first, net->inputs, net->stride, n);
    }
}
