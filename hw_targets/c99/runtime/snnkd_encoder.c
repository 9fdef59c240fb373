#include "snnkd_encoder.h"

#define RATE_START 127U /* of the accumulator: spikes are then rounded to the nearest, not down */

void snnkd_encode_direct(const uint8_t *image, uint32_t size, uint32_t bits, uint8_t *events)
{
    uint32_t i;

    for (i = 0U; i < size; i++) {
        events[i] = (uint8_t)((uint32_t)image[i] >> (8U - bits));
    }
}

/* x modulo 255 of x below 2^24: the sum of its bytes has the same remainder, since 256 leaves 1. */
static uint32_t modulo_255(uint32_t x)
{
    uint32_t sum = (x & 255U) + ((x >> 8) & 255U) + (x >> 16);

    sum = (sum & 255U) + (sum >> 8);
    return (sum < 255U) ? sum : (sum - 255U);
}

void snnkd_encode_rate(const uint8_t *image, uint32_t size, uint32_t step, uint8_t *events)
{
    uint32_t i;

    for (i = 0U; i < size; i++) {
        const uint32_t intensity = image[i];

        /* The accumulator after `step` steps, which keeps what is below 255, and this step's share. */
        events[i] = (uint8_t)(((modulo_255(RATE_START + (intensity * step)) + intensity) >= 255U) ? 1U : 0U);
    }
}

/* SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
static uint64_t mix(uint64_t state)
{
    uint64_t word = state + UINT64_C(0x9E3779B97F4A7C15);

    word = (word ^ (word >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94D049BB133111EB);
    return word ^ (word >> 31);
}

void snnkd_encode_poisson(const uint8_t *image, uint32_t pixels, uint32_t channels, uint64_t seed, uint64_t index,
                          uint32_t step, uint8_t *events)
{
    const uint64_t drawn = mix(mix(mix(seed) ^ index) ^ step);
    uint32_t pixel;
    uint32_t channel;

    for (pixel = 0U; pixel < pixels; pixel++) {
        for (channel = 0U; channel < channels; channel++) {
            const uint32_t at = (pixel * channels) + channel;
            const uint32_t random = (uint32_t)(mix(drawn ^ (((uint64_t)channel * pixels) + pixel)) >> 32);

            /* (intensity << 32) / 255, which for 255 is above every random number */
            events[at] = (uint8_t)(((image[at] == 255U) || (random < (image[at] * UINT32_C(0x01010101)))) ? 1U : 0U);
        }
    }
}

void snnkd_encode_latency(const uint8_t *image, uint32_t size, uint32_t steps, uint32_t step, uint8_t *events)
{
    uint32_t i;

    for (i = 0U; i < size; i++) {
        events[i] = (uint8_t)(((image[i] != 0U) && ((((255U - (uint32_t)image[i]) * steps) >> 8) == step)) ? 1U : 0U);
    }
}
