/* The products of dense layers in 8 bits alone, without neurons: what visiting every input cannot leave out, for
 * comparison. Four outputs at a time; a core that multiplies two pairs of 16 bits at once does so. Reads the events of
 * SUBJECT_EVENTS steps; those of one step are multiplied once. Gives a checksum, no class. */
#include "subject.h"

#include "products.h"

#include <string.h>

#ifdef __ARM_FEATURE_SIMD32
#include <arm_acle.h>

static int16x2_t even(uint32_t bytes)
{
    int16x2_t halves;

    __asm__("sxtb16 %0, %1" : "=r"(halves) : "r"(bytes));
    return halves;
}

static int16x2_t odd(uint32_t bytes)
{
    int16x2_t halves;

    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(bytes));
    return halves;
}

static uint32_t word(const void *at)
{
    uint32_t bytes;

    (void)memcpy(&bytes, at, sizeof bytes);
    return bytes;
}

/* sum += four weights at `row`, which moves on, times four events. */
static int32_t four_more(const int8_t **row, int16x2_t low, int16x2_t high, int32_t sum)
{
    const uint32_t weights = word(*row);

    *row += 4;
    return __smlad(odd(weights), high, __smlad(even(weights), low, sum));
}

/* Events are below 128 here, so that they may be extended as signed ones. */
static void four_outputs(const int8_t *rows, const uint8_t *events, uint32_t inputs, int32_t sums[4])
{
    const uint8_t *const end = &events[inputs];
    const int8_t *row[4] = {rows, &rows[inputs], &rows[2U * inputs], &rows[3U * inputs]};
    int32_t a = 0;
    int32_t b = 0;
    int32_t c = 0;
    int32_t d = 0;

    while (events != end) {
        const uint32_t four = word(events);
        const int16x2_t low = even(four);
        const int16x2_t high = odd(four);

        events += 4;
        a = four_more(&row[0], low, high, a);
        b = four_more(&row[1], low, high, b);
        c = four_more(&row[2], low, high, c);
        d = four_more(&row[3], low, high, d);
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

static void prepare(const uint8_t *events, uint32_t inputs)
{
    (void)events;
    (void)inputs;
}
#else
static int16_t wide[PRODUCTS_WIDEST];

static void prepare(const uint8_t *events, uint32_t inputs)
{
    uint32_t i;

    for (i = 0U; i < inputs; i++) {
        wide[i] = events[i];
    }
}

static void four_outputs(const int8_t *rows, const uint8_t *events, uint32_t inputs, int32_t sums[4])
{
    uint32_t i;
    uint32_t o;

    (void)events;
    for (o = 0U; o < 4U; o++) {
        int32_t sum = 0;

        for (i = 0U; i < inputs; i++) {
            sum += rows[(o * inputs) + i] * wide[i];
        }
        sums[o] = sum;
    }
}
#endif

static uint32_t multiply(const products_layer *layer, const uint8_t *events)
{
    uint32_t checksum = 0U;
    uint32_t o;

    prepare(events, layer->inputs);
    for (o = 0U; o < layer->outputs; o += 4U) {
        int32_t sums[4];

        four_outputs(&layer->weights[o * layer->inputs], events, layer->inputs, sums);
        checksum += (uint32_t)sums[0] + (3U * (uint32_t)sums[1]) + (5U * (uint32_t)sums[2]) + (7U * (uint32_t)sums[3]);
    }
    return checksum;
}

uint32_t subject_run(const uint8_t *input, uint32_t index)
{
    uint32_t checksum = 0U;
    uint32_t step;
    uint32_t k;

    (void)index;
    for (step = 0U; step < PRODUCTS_STEPS; step++) {
        for (k = 0U; k < PRODUCTS_LAYERS; k++) {
            if (k != 0U) {
                checksum += multiply(&products_layers[k], products_spikes);
            } else if (step < SUBJECT_EVENTS) {
                checksum += multiply(&products_layers[k], &input[step * products_layers[k].inputs]);
            } else {
                /* summed before */
            }
        }
    }
    return checksum;
}
