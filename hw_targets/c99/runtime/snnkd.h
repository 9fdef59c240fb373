/* Runtime of one integer network of CUBA-LIF and sigma-delta neurons. C99, integers only, no heap, no recursion.
 *
 * The network is constant data in model.c; what changes while it runs is one snnkd_state, which the caller owns. All
 * functions may run at the same time on different states. model.h says what the input is: SNNKD_INPUTS elements of
 * type snnkd_input, channels last (H, W, C).
 */
#ifndef SNNKD_H
#define SNNKD_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Everything that one run of the network needs. Its contents are private; they are found through snnkd_layers[]. */
typedef struct {
    uint32_t step;                     /* steps since the last reset */
#if !SNNKD_STATELESS
    int32_t values[SNNKD_VALUES];      /* v of each layer, and u of those that keep one; of sigma-delta ones theirs */
#endif
    uint32_t sums[SNNKD_SUMS];         /* of the layer in work, of the input, and of delayed events; where
                                        * SNNKD_STATELESS is 1 of each layer, and then its activations */
    uint32_t spikes[SNNKD_SPIKE_WORDS]; /* bit sets, the spikes of each layer at its last step */
    uint32_t counts[SNNKD_OUTPUTS];    /* spikes of each output, or the sum of its messages, channels last */
#if SNNKD_READS_MAXIMUM || SNNKD_READS_SUM
    uint32_t read[SNNKD_READ_WORDS];   /* of each output's voltage, channels last: the highest + 2^31; or the sum, in
                                        * two's complement of 64 bits, lower word first */
#endif
} snnkd_state;

/* Makes any memory a state, as after a reset. Call it once for each state. */
void snnkd_init(snnkd_state *state);

/* Back to before the first step: u = v = 0, no event on its way, all counts 0. Call it before each sample. */
void snnkd_reset(snnkd_state *state);

/* One time step of all layers. Where SNNKD_KEEPS_INPUT is 1, NULL stands for the input of the step before, and saves
 * its work; elsewhere input must not be NULL. Where SNNKD_STATELESS is 1, the network has one step, and each call is an
 * inference of its own: it starts with a reset where a step was made since the last one. */
void snnkd_step(snnkd_state *state, const snnkd_input *input);

/* Spikes of each of the SNNKD_OUTPUTS outputs since the reset, in the order of the classes (C, H, W). */
void snnkd_counts(const snnkd_state *state, uint32_t counts[SNNKD_OUTPUTS]);

/* The class that the network's readout gives of the steps that were run, 0 to SNNKD_CLASSES - 1. */
uint32_t snnkd_classify(const snnkd_state *state);

/* Whether the network's rule of early exit says that no further step is needed; always false without a rule. */
bool snnkd_decided(const snnkd_state *state);

/* Whether a neuron spiked at the last step, and its voltage after it; whether a sigma-delta one sent something, and its
 * activation, of a Sigma output sigma. neuron: channels last (H, W, C). */
bool snnkd_spiked(const snnkd_state *state, uint32_t layer, uint32_t neuron);
int32_t snnkd_voltage(const snnkd_state *state, uint32_t layer, uint32_t neuron);

/* ---- What model.c is made of ---- */

#define SNNKD_KIND_DENSE 0U
#define SNNKD_KIND_CONV 1U
#define SNNKD_KIND_INPUT 2U /* neurons that take the input as their bias */

#define SNNKD_NEURON_CUBA 0U
#define SNNKD_NEURON_DELTA 1U
#define SNNKD_NEURON_SIGMA_DELTA 2U
#define SNNKD_NEURON_SIGMA 3U
#define SNNKD_NEURON_KIND 3U /* of the field neuron, beside what follows */
#define SNNKD_NEURON_RELU 4U
#define SNNKD_NEURON_CUMULATIVE 8U

#define SNNKD_NONE UINT32_MAX /* an offset into nothing */

/* A neuron's parameters. threshold and bias are aligned to v (mantissa * 64); what a step keeps of u and v, in
 * fractions of 4096. Of sigma-delta neurons threshold and bias are shifted by keep_u bits, spike_exp + state_exp, and
 * keep_v is state_exp. */
typedef struct {
    int32_t threshold;
    int32_t bias;
    uint16_t keep_u;
    uint16_t keep_v;
} snnkd_neuron;

/* A layer. Offsets count elements of the array that they point into. */
typedef struct {
    uint8_t kind;         /* SNNKD_KIND_... */
    uint8_t bits;         /* of a stored weight: 4, 8, 16 or 32, in snnkd_weights4 (two per byte) ... 32 */
    uint8_t left;         /* a sum becomes a * 64 = sum << left; where right is not 0, ((sum << left) >> right) << 6 */
    uint8_t right;
    uint8_t delay_left;   /* what is sent of the sum of each delay, where delay_right is not 0: (sum << left) >> right */
    uint8_t delay_right;
    uint8_t delay_slots;  /* the longest delay + 1; 0 for a layer without delays */
    uint8_t neuron;       /* SNNKD_NEURON_... */
    uint32_t source;      /* the spikes that it reads, in state.spikes; SNNKD_NONE for the input */
    uint32_t inputs;
    uint32_t neurons;
    uint32_t v;           /* in state.values; act of sigma-delta neurons, sigma of Sigma; SNNKD_NONE where stateless */
    uint32_t u;           /* the same; SNNKD_NONE where nothing of u is kept. Of sigma-delta neurons the messages, residue,
                           * sigma and error, as far as they have them, one behind the other; of Sigma v itself */
    uint32_t spikes;      /* in state.spikes */
    uint32_t sums;        /* in state.sums, where stateless also act or sigma */
    uint32_t weights;     /* [inputs][neurons]; convolution [channels][kernel_h][kernel_w][neurons of a group] */
    uint32_t row;         /* elements between two rows of weights */
    uint32_t parameters;  /* in snnkd_neurons */
    uint32_t period;      /* how many of them there are: 1, one per channel, or one per neuron */
    uint32_t delays;      /* in snnkd_delays, delay of (i, o) at i * delay_by_input + o * delay_by_output */
    uint32_t delay_by_input;
    uint16_t delay_by_output;
    uint16_t channels;    /* of a convolution's input (height, width, channels) */
    uint16_t height;
    uint16_t width;
    uint16_t group_in;    /* channels of a group, in and out */
    uint16_t group_out;
    uint16_t out_channels;
    uint16_t out_height;
    uint16_t out_width;
    uint16_t kernel_h;
    uint16_t kernel_w;
    uint16_t stride_h;
    uint16_t stride_w;
    uint16_t padding_h;
    uint16_t padding_w;
    uint16_t dilation_h;
    uint16_t dilation_w;
    uint16_t unused_16;
} snnkd_layer;

extern const snnkd_layer snnkd_layers[SNNKD_LAYERS];
extern const snnkd_neuron snnkd_neurons[];
extern const uint8_t snnkd_weights4[];
extern const int8_t snnkd_weights8[];
extern const int16_t snnkd_weights16[];
extern const int32_t snnkd_weights32[];
extern const uint8_t snnkd_delays[];

/* ---- What the compiler must agree to ---- */

#define SNNKD_ASSERT(name, truth) typedef char name[(truth) ? 1 : -1]

SNNKD_ASSERT(snnkd_state_has_the_size_that_was_computed, sizeof(snnkd_state) == SNNKD_RAM_BYTES);
SNNKD_ASSERT(snnkd_layer_has_no_gaps, sizeof(snnkd_layer) == 96U);
SNNKD_ASSERT(snnkd_neuron_has_no_gaps, sizeof(snnkd_neuron) == 12U);

#ifdef __cplusplus
}
#endif

#endif
