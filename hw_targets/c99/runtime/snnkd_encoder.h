/* Encoders: an 8-bit image to the events of one time step, in integers. Images and events are channels last (H, W, C).
 * Steps are counted from 0; index is the position of an image in its data set, which random events are drawn from. */
#ifndef SNNKD_ENCODER_H
#define SNNKD_ENCODER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The encoder that the network was trained with, with its parameters; in model.c where SNNKD_HAS_ENCODER is 1. */
void snnkd_encode(const uint8_t *image, uint64_t index, uint32_t step, uint8_t *events);

/* The upper `bits` (1 to 8) of each intensity, at every step. */
void snnkd_encode_direct(const uint8_t *image, uint32_t size, uint32_t bits, uint8_t *events);

/* Evenly spread spikes: intensity / 255 of the steps. step: below 4096. */
void snnkd_encode_rate(const uint8_t *image, uint32_t size, uint32_t step, uint8_t *events);

/* Random spikes with the probability intensity / 255, the same for the same seed, index and step everywhere. */
void snnkd_encode_poisson(const uint8_t *image, uint32_t pixels, uint32_t channels, uint64_t seed, uint64_t index,
                          uint32_t step, uint8_t *events);

/* One spike of each intensity above 0, the brighter the earlier of `steps` steps (1 to 4096). */
void snnkd_encode_latency(const uint8_t *image, uint32_t size, uint32_t steps, uint32_t step, uint8_t *events);

#ifdef __cplusplus
}
#endif

#endif
