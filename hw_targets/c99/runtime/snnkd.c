/* The arithmetic is that of the integer network's definition, and equals it in every spike, u and v:
 *
 *   a = sum over events of weight * event      dense: wrap32, << or >> by its exponent; convolution: wrap24
 *   u = wrap32(trunc0(u * keep_u / 4096) + wrap32(a * 64)), then one correction by 2^24 where |u| is above 2^23
 *   v = trunc0(v * keep_v / 4096) + u + bias * 64, clipped to +-(2^23 - 1)
 *   spike = v > threshold * 64, which sets v to 0
 *
 * Of sigma-delta neurons all is 32 bits that wrap; with E = spike_exp + state_exp:
 *
 *   sigma = sigma + a;  new = sigma + (bias << E), with a ReLU at least 0; of Delta encoders new = input << E
 *   change = new - act + residue;  error = change, or error + change;  act = new
 *   sent = change where |error| >= threshold << E, else 0;  residue = change - sent;  message = sent >> state_exp
 *
 * At the only step of a stateless network, sigma = a and change = error = act = new: a neuron keeps act in the place of
 * its sum, and who has sent something has sent act >> state_exp.
 *
 * All that wraps is unsigned. Work follows events: weights lie by input, so that an event adds one row.
 * Defining SNNKD_DENSE visits every input instead, also those without an event: the same results, for comparison.
 * Defining SNNKD_OBSERVE reports each neuron at each step to a function of the caller.
 */
#include "snnkd.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#define STATE_LIMIT INT32_C(8388608) /* 2^23 */
#define STATE_SHIFT 6U
#define WORD_BITS 32U

#ifdef SNNKD_OBSERVE
#if SNNKD_STATELESS
void snnkd_observe(uint32_t layer, uint32_t neuron, int32_t sigma, int32_t message, int32_t residue);
#else
void snnkd_observe(uint32_t layer, uint32_t neuron, int32_t u, int32_t v, bool spiked);
#endif
#endif

/* ---- Integers ---- */

/* The same bits as two's complement; a plain cast of what is above INT32_MAX is up to the compiler. */
static int32_t to_signed(uint32_t x)
{
    return (x <= (uint32_t)INT32_MAX) ? (int32_t)x : (-(int32_t)(~x) - 1);
}

#if SNNKD_USES_RIGHT_SHIFTS
/* Arithmetic shift, rounding down; >> of a negative number is up to the compiler. bits: 0 to 31. */
static uint32_t shift_right(uint32_t x, uint32_t bits)
{
    return ((x >> 31) != 0U) ? ~(~x >> bits) : (x >> bits);
}
#endif

#if SNNKD_USES_CUBA
/* trunc0(state * keep / 4096) without a product of 64 bits. */
static int32_t decayed(int32_t state, uint32_t keep)
{
    uint32_t size = (state < 0) ? (0U - (uint32_t)state) : (uint32_t)state;

    size = ((size >> 12) * keep) + (((size & 4095U) * keep) >> 12);
    return (state < 0) ? -(int32_t)size : (int32_t)size;
}
#endif

#ifndef SNNKD_DENSE
/* The position of the lowest 1 in a word that has one. */
static uint32_t lowest(uint32_t word)
{
#if defined(__GNUC__) && (UINT_MAX >= 0xFFFFFFFFU) && !defined(__ARM_ARCH_6M__)
    return (uint32_t)__builtin_ctz(word);
#else
    /* De Bruijn sequence: the upper 5 bits of its multiples by powers of two all differ. */
    static const uint8_t position[32] = {0,  1,  28, 2,  29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4,  8,
                                         31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6,  11, 5,  10, 9};

    return position[((word & (0U - word)) * UINT32_C(0x077CB531)) >> 27];
#endif
}
#endif

/* ---- Events into sums ---- */

#if SNNKD_PASSES_MESSAGES
/* The layer whose messages a layer reads; NULL where it reads the input, or spikes, which are 1. */
static const snnkd_layer *sender_of(const snnkd_layer *layer)
{
    if ((layer->source == SNNKD_NONE) || ((layer - 1)->neuron == SNNKD_NEURON_CUBA)) {
        return NULL;
    }
    return layer - 1;
}
#endif

/* What the neuron i, which has sent something, has sent to a layer. */
static uint32_t sent_by(const snnkd_layer *layer, const snnkd_state *state, uint32_t i)
{
#if SNNKD_PASSES_MESSAGES
    const snnkd_layer *sender = sender_of(layer);

    if (sender != NULL) {
#if SNNKD_STATELESS
        return shift_right(state->sums[sender->sums + i], snnkd_neurons[sender->parameters].keep_v);
#else
        return (uint32_t)state->values[sender->u + i];
#endif
    }
#endif
    (void)layer;
    (void)state;
    (void)i;
    return 1U;
}

#if SNNKD_USES_8_BITS && !defined(SNNKD_DENSE)
/* Whether all events of a layer are 1. */
static bool reads_spikes(const snnkd_layer *layer)
{
#if SNNKD_PASSES_MESSAGES
    return (layer->source != SNNKD_NONE) && (sender_of(layer) == NULL);
#else
    return layer->source != SNNKD_NONE;
#endif
}
#endif

#if !SNNKD_STATELESS
static void clear(uint32_t *sums, uint32_t count)
{
    (void)memset(sums, 0, (size_t)count * sizeof sums[0]);
}
#endif

#if SNNKD_USES_4_BITS
/* A weight of 4 bits is stored + 8; the lower half of a byte comes first. */
static uint32_t weight4(uint32_t first, uint32_t o)
{
    const uint32_t pair = snnkd_weights4[first + (o >> 1)];

    return ((pair >> ((o & 1U) * 4U)) & 15U) - 8U;
}
#endif

#if SNNKD_USES_8_BITS
/* sums[0 .. count) += event * row[0 .. count), four at a time. */
static inline void add_row8(uint32_t *restrict sums, const int8_t *row, uint32_t count, uint32_t event)
{
    uint32_t o;

    for (o = 0U; (o + 4U) <= count; o += 4U) {
        sums[o] += (uint32_t)row[o] * event;
        sums[o + 1U] += (uint32_t)row[o + 1U] * event;
        sums[o + 2U] += (uint32_t)row[o + 2U] * event;
        sums[o + 3U] += (uint32_t)row[o + 3U] * event;
    }
    for (; o < count; o++) {
        sums[o] += (uint32_t)row[o] * event;
    }
}
#endif

/* sums[0 .. count) += event * the weights from `first` on. */
static void add_row(uint32_t *restrict sums, uint32_t bits, uint32_t first, uint32_t count, uint32_t event)
{
#if SNNKD_USES_4_BITS
    if (bits == 4U) {
        uint32_t o;

        for (o = 0U; o < count; o++) {
            sums[o] += weight4(first, o) * event;
        }
    }
#endif
#if SNNKD_USES_8_BITS
    if (bits == 8U) {
        const int8_t *row = &snnkd_weights8[first];

#ifndef SNNKD_DENSE
        if (event == 1U) { /* so no multiplication; most rows are of spikes */
            add_row8(sums, row, count, 1U);
            return;
        }
#endif
        add_row8(sums, row, count, event);
    }
#endif
#if SNNKD_USES_16_BITS
    if (bits == 16U) {
        const int16_t *row = &snnkd_weights16[first];
        uint32_t o;

        for (o = 0U; o < count; o++) {
            sums[o] += (uint32_t)row[o] * event;
        }
    }
#endif
#if SNNKD_USES_32_BITS
    if (bits == 32U) {
        const int32_t *row = &snnkd_weights32[first];
        uint32_t o;

        for (o = 0U; o < count; o++) {
            sums[o] += (uint32_t)row[o] * event;
        }
    }
#endif
}

/* Events of a dense layer without delays: several rows are added in one pass over the sums. */
#define BATCH 4U

typedef struct {
    uint32_t first[BATCH];
    uint32_t event[BATCH];
    uint32_t size;
} batch;

static void add_batch(const snnkd_layer *layer, uint32_t *restrict sums, const batch *events)
{
    const uint32_t *event = events->event;
    const uint32_t *first = events->first;
    uint32_t o;

#if SNNKD_USES_4_BITS
    if (layer->bits == 4U) {
        const uint32_t offset = 8U * (event[0] + event[1] + event[2] + event[3]);
        const uint8_t *a = &snnkd_weights4[first[0]];
        const uint8_t *b = &snnkd_weights4[first[1]];
        const uint8_t *c = &snnkd_weights4[first[2]];
        const uint8_t *d = &snnkd_weights4[first[3]];

        for (o = 0U; (o + 1U) < layer->neurons; o += 2U) {
            const uint32_t pairs[BATCH] = {a[o / 2U], b[o / 2U], c[o / 2U], d[o / 2U]};

            sums[o] += (((pairs[0] & 15U) * event[0]) + ((pairs[1] & 15U) * event[1]) + ((pairs[2] & 15U) * event[2]) +
                        ((pairs[3] & 15U) * event[3])) -
                       offset;
            sums[o + 1U] += (((pairs[0] >> 4) * event[0]) + ((pairs[1] >> 4) * event[1]) +
                             ((pairs[2] >> 4) * event[2]) + ((pairs[3] >> 4) * event[3])) -
                            offset;
        }
        if (o < layer->neurons) {
            sums[o] += (weight4(first[0], o) * event[0]) + (weight4(first[1], o) * event[1]) +
                       (weight4(first[2], o) * event[2]) + (weight4(first[3], o) * event[3]);
        }
        return;
    }
#endif
#if SNNKD_USES_8_BITS
    if (layer->bits == 8U) {
        const int8_t *a = &snnkd_weights8[first[0]];
        const int8_t *b = &snnkd_weights8[first[1]];
        const int8_t *c = &snnkd_weights8[first[2]];
        const int8_t *d = &snnkd_weights8[first[3]];

#ifndef SNNKD_DENSE
        if (reads_spikes(layer)) {
            for (o = 0U; o < layer->neurons; o++) {
                sums[o] += (uint32_t)a[o] + (uint32_t)b[o] + (uint32_t)c[o] + (uint32_t)d[o];
            }
            return;
        }
#endif
        for (o = 0U; o < layer->neurons; o++) {
            sums[o] += ((uint32_t)a[o] * event[0]) + ((uint32_t)b[o] * event[1]) + ((uint32_t)c[o] * event[2]) +
                       ((uint32_t)d[o] * event[3]);
        }
        return;
    }
#endif
    for (o = 0U; o < BATCH; o++) {
        add_row(sums, layer->bits, first[o], layer->neurons, event[o]);
    }
}

#if SNNKD_USES_CONV
/* Where along one axis an event at `at` is seen: the outputs from `top` down whose window holds it. */
typedef struct {
    uint32_t top;
    uint32_t offset; /* of the event in the window of `top` */
    uint32_t count;
} window;

static window windows(uint32_t at, uint32_t outputs, uint32_t extent, uint32_t stride)
{
    window seen;

    seen.top = (stride == 1U) ? at : (at / stride);
    if (seen.top >= outputs) {
        seen.top = outputs - 1U;
    }
    seen.offset = at - (seen.top * stride);
    seen.count = (seen.offset < extent) ? (((extent - 1U - seen.offset) / stride) + 1U) : 0U;
    if (seen.count > (seen.top + 1U)) {
        seen.count = seen.top + 1U;
    }
    return seen;
}

/* An event at `input` of (height, width, channels) into the sums (out_height, out_width, out_channels). */
static void convolve(const snnkd_layer *layer, uint32_t *sums, uint32_t input, uint32_t event)
{
    const uint32_t pixel = input / layer->channels;
    const uint32_t channel = input % layer->channels;
    const uint32_t into = (channel / layer->group_in) * layer->group_out;
    const uint32_t kernel_h = layer->kernel_h;
    const uint32_t kernel_w = layer->kernel_w;
    const window rows = windows((pixel / layer->width) + layer->padding_h, layer->out_height,
                                ((kernel_h - 1U) * layer->dilation_h) + 1U, layer->stride_h);
    const window columns = windows((pixel % layer->width) + layer->padding_w, layer->out_width,
                                   ((kernel_w - 1U) * layer->dilation_w) + 1U, layer->stride_w);
    uint32_t i;
    uint32_t j;

    for (i = 0U; i < rows.count; i++) {
        const uint32_t down = rows.offset + (i * layer->stride_h);

        if ((down % layer->dilation_h) == 0U) {
            const uint32_t line = ((channel * kernel_h) + (down / layer->dilation_h)) * kernel_w;
            const uint32_t above = (rows.top - i) * layer->out_width;

            for (j = 0U; j < columns.count; j++) {
                const uint32_t right = columns.offset + (j * layer->stride_w);

                if ((right % layer->dilation_w) == 0U) {
                    add_row(&sums[((above + (columns.top - j)) * layer->out_channels) + into], layer->bits,
                            layer->weights + ((line + (right / layer->dilation_w)) * layer->row), layer->group_out,
                            event);
                }
            }
        }
    }
}
#endif

#if SNNKD_USES_DELAYS
static uint32_t weight_at(const snnkd_layer *layer, uint32_t input, uint32_t output)
{
    const uint32_t row = layer->weights + (input * layer->row);
    uint32_t weight = 0U;

#if SNNKD_USES_4_BITS
    if (layer->bits == 4U) {
        weight = weight4(row, output);
    }
#endif
#if SNNKD_USES_8_BITS
    if (layer->bits == 8U) {
        weight = (uint32_t)snnkd_weights8[row + output];
    }
#endif
#if SNNKD_USES_16_BITS
    if (layer->bits == 16U) {
        weight = (uint32_t)snnkd_weights16[row + output];
    }
#endif
#if SNNKD_USES_32_BITS
    if (layer->bits == 32U) {
        weight = (uint32_t)snnkd_weights32[row + output];
    }
#endif
    return weight;
}

static uint32_t delay_at(const snnkd_layer *layer, uint32_t input, uint32_t output)
{
    return snnkd_delays[layer->delays + (input * layer->delay_by_input) + (output * layer->delay_by_output)];
}

/* Where the sums of the step that is `delay` away lie in the ring of a layer's sums. */
static uint32_t *pending(const snnkd_layer *layer, snnkd_state *state, uint32_t delay)
{
    const uint32_t slot = ((state->step % layer->delay_slots) + delay) % layer->delay_slots;

    return &state->sums[layer->sums + (slot * layer->neurons)];
}

/* Each synapse adds to the sums of the step at which its event arrives. */
static void send(const snnkd_layer *layer, snnkd_state *state, uint32_t input, uint32_t event)
{
    uint32_t o;

    for (o = 0U; o < layer->neurons; o++) {
        pending(layer, state, delay_at(layer, input, o))[o] += weight_at(layer, input, o) * event;
    }
}
#endif

#if SNNKD_USES_ROUNDED_DELAYS
static uint32_t event_at(const snnkd_layer *layer, const snnkd_state *state, const snnkd_input *input, uint32_t i)
{
    return (layer->source == SNNKD_NONE)
               ? (uint32_t)input[i]
               : (((state->spikes[layer->source + (i / WORD_BITS)] >> (i % WORD_BITS)) & 1U) * sent_by(layer, state, i));
}

/* As arrive_all with delays, where a shift to the right rounds the sum of each delay before it is sent. */
static void send_rounded(const snnkd_layer *layer, snnkd_state *state, const snnkd_input *input)
{
    uint32_t *own = &state->sums[layer->sums + ((uint32_t)layer->delay_slots * layer->neurons)]; /* behind the ring */
    uint32_t delay;
    uint32_t i;
    uint32_t o;

    for (delay = 0U; delay < layer->delay_slots; delay++) {
        clear(own, layer->neurons);
        for (i = 0U; i < layer->inputs; i++) {
            const uint32_t event = event_at(layer, state, input, i);

            for (o = 0U; (event != 0U) && (o < layer->neurons); o++) {
                own[o] += (delay_at(layer, i, o) == delay) ? (weight_at(layer, i, o) * event) : 0U;
            }
        }
        for (o = 0U; o < layer->neurons; o++) {
            pending(layer, state, delay)[o] += shift_right(own[o] << layer->delay_left, layer->delay_right);
        }
    }
}
#endif

/* One event into the sums of a layer, or into the batch, which is added when it is full. */
static void arrive(const snnkd_layer *layer, snnkd_state *state, batch *events, uint32_t input, uint32_t event)
{
#if SNNKD_USES_DELAYS
    if (layer->delay_slots != 0U) {
        send(layer, state, input, event);
        return;
    }
#endif
#if SNNKD_USES_CONV
    if (layer->kind == SNNKD_KIND_CONV) {
        convolve(layer, &state->sums[layer->sums], input, event);
        return;
    }
#endif
    events->first[events->size] = layer->weights + (input * layer->row);
    events->event[events->size] = event;
    events->size++;
    if (events->size == BATCH) {
        add_batch(layer, &state->sums[layer->sums], events);
        events->size = 0U;
    }
}

/* All events that a layer reads at this step. */
static void arrive_all(const snnkd_layer *layer, snnkd_state *state, const snnkd_input *input)
{
    batch events;
    uint32_t i;

    events.size = 0U;
    if (layer->source == SNNKD_NONE) {
        for (i = 0U; i < layer->inputs; i++) {
#ifndef SNNKD_DENSE
            if (input[i] != 0)
#endif
            {
                arrive(layer, state, &events, i, (uint32_t)input[i]);
            }
        }
    } else {
        const uint32_t *spikes = &state->spikes[layer->source];

#ifdef SNNKD_DENSE
        for (i = 0U; i < layer->inputs; i++) {
            arrive(layer, state, &events, i,
                   ((spikes[i / WORD_BITS] >> (i % WORD_BITS)) & 1U) * sent_by(layer, state, i));
        }
#else
        for (i = 0U; i < layer->inputs; i += WORD_BITS) {
            uint32_t word = spikes[i / WORD_BITS];

            while (word != 0U) {
                const uint32_t sender = i + lowest(word);

                arrive(layer, state, &events, sender, sent_by(layer, state, sender));
                word &= word - 1U;
            }
        }
#endif
    }
    for (i = 0U; i < events.size; i++) {
        add_row(&state->sums[layer->sums], layer->bits, events.first[i], layer->neurons, events.event[i]);
    }
}

/* ---- Neurons ---- */

#if SNNKD_USES_CUBA
/* u, of what is left of it and the activation. */
static int32_t current_of(int32_t left, uint32_t activation)
{
    const uint32_t total = (uint32_t)left + activation;
    int32_t current = to_signed(total);

    if ((total + ((uint32_t)STATE_LIMIT - 1U)) > ((2U * (uint32_t)STATE_LIMIT) - 1U)) {
        current += (current > 0) ? (-2 * STATE_LIMIT) : (2 * STATE_LIMIT);
    }
    return current;
}

/* v before its reset, of what is left of it and what comes in. */
static int32_t voltage_of(int32_t left, int32_t current, int32_t bias)
{
    int32_t voltage = left + current + bias;

    if (((uint32_t)voltage + ((uint32_t)STATE_LIMIT - 1U)) > (2U * ((uint32_t)STATE_LIMIT - 1U))) {
        voltage = (voltage > 0) ? (STATE_LIMIT - 1) : (1 - STATE_LIMIT);
    }
    return voltage;
}

/* A layer in work. */
typedef struct {
    uint32_t left;  /* of a sum */
    uint32_t right;
    uint32_t mask;  /* of an activation, a convolution's have 30 bits */
    uint32_t sign;
    const uint32_t *sums;
    int32_t *u; /* NULL where nothing of u is kept */
    int32_t *v;
    uint32_t index;
} work;

static bool fires(const work *layer, const snnkd_neuron *neuron, int32_t bias, uint32_t n)
{
    const uint32_t sum = (layer->sums == NULL) ? 0U : (layer->sums[n] << layer->left);
#if SNNKD_USES_CONV
    uint32_t activation = ((sum & layer->mask) ^ layer->sign) - layer->sign;
#else
    uint32_t activation = sum;
#endif
    int32_t current;
    int32_t voltage;
    bool spike;

#if SNNKD_USES_RIGHT_SHIFTS
    if (layer->right != 0U) {
        activation = shift_right(sum, layer->right) << STATE_SHIFT;
    }
#endif
#if SNNKD_USES_CURRENTS
    if (layer->u != NULL) {
        current = current_of(decayed(layer->u[n], neuron->keep_u), activation);
        layer->u[n] = current;
    } else
#endif
    {
        current = current_of(0, activation);
    }
    voltage = voltage_of(decayed(layer->v[n], neuron->keep_v), current, bias);
    spike = voltage > neuron->threshold;
    layer->v[n] = spike ? 0 : voltage;
#ifdef SNNKD_OBSERVE
    snnkd_observe(layer->index, n, current, layer->v[n], spike);
#endif
    return spike;
}

/* The spikes of the neurons from `first` to `end`, at most a word of them, which share their parameters. */
static uint32_t fire_alike(const work *layer, const snnkd_neuron *neuron, uint32_t first, uint32_t end)
{
    const snnkd_neuron own = *neuron;
    const work here = *layer;
    uint32_t word = 0U;
    uint32_t bit = 1U;
    uint32_t n;

    for (n = first; n < end; n++) {
        if (fires(&here, &own, own.bias, n)) {
            word |= bit;
        }
        bit <<= 1;
    }
    return word;
}

#if SNNKD_USES_INPUT_NEURONS
/* The bias that the input is: its lower 16 bits, signed, aligned to v. */
static int32_t bias_of(snnkd_input input)
{
    const int32_t mantissa = (int32_t)((uint32_t)input & 0xFFFFU);

    return ((mantissa < INT32_C(0x8000)) ? mantissa : (mantissa - INT32_C(0x10000))) * 64;
}
#endif

#if SNNKD_USES_PARAMETERS
/* The same where parameters differ from neuron to neuron, or the input is the bias. */
static uint32_t fire_each(const work *layer, const snnkd_input *input, uint32_t first, uint32_t end)
{
    const snnkd_layer *about = &snnkd_layers[layer->index];
    uint32_t parameters = first % about->period;
    uint32_t word = 0U;
    uint32_t bit = 1U;
    uint32_t n;

    (void)input;
    for (n = first; n < end; n++) {
        const snnkd_neuron *neuron = &snnkd_neurons[about->parameters + parameters];
        int32_t bias = neuron->bias;

#if SNNKD_USES_INPUT_NEURONS
        if (about->kind == SNNKD_KIND_INPUT) {
            bias = bias_of(input[n]);
        }
#endif
        if (fires(layer, neuron, bias, n)) {
            word |= bit;
        }
        bit <<= 1;
        parameters++;
        if (parameters == about->period) {
            parameters = 0U;
        }
    }
    return word;
}
#endif

/* All neurons of a layer, from its sums of this step (NULL for none) to its spikes. */
static void update(uint32_t index, snnkd_state *state, const snnkd_input *input, const uint32_t *sums)
{
    const snnkd_layer *about = &snnkd_layers[index];
    work layer;
    uint32_t word;
    uint32_t first;
    uint32_t n;

    layer.left = about->left;
    layer.right = about->right;
    layer.mask = (about->kind == SNNKD_KIND_CONV) ? UINT32_C(0x3FFFFFFF) : UINT32_MAX;
    layer.sign = (about->kind == SNNKD_KIND_CONV) ? UINT32_C(0x20000000) : 0U;
    layer.sums = sums;
    layer.u = (about->u == SNNKD_NONE) ? NULL : &state->values[about->u];
    layer.v = &state->values[about->v];
    layer.index = index;
    (void)input;
    for (first = 0U; first < about->neurons; first += WORD_BITS) {
        const uint32_t end = ((about->neurons - first) < WORD_BITS) ? about->neurons : (first + WORD_BITS);

#if SNNKD_USES_PARAMETERS
        if ((about->period != 1U) || (about->kind == SNNKD_KIND_INPUT)) {
            word = fire_each(&layer, input, first, end);
        } else
#endif
        {
            word = fire_alike(&layer, &snnkd_neurons[about->parameters], first, end);
        }
        state->spikes[about->spikes + (first / WORD_BITS)] = word;
        if (index == (SNNKD_LAYERS - 1U)) {
            for (n = first; n < end; n++) {
                state->counts[n] += (word >> (n - first)) & 1U;
            }
        }
    }
}
#endif

#if SNNKD_USES_MESSAGES
/* What arrives at a sigma-delta neuron: a, of Delta encoders the input. */
static uint32_t arrived(const snnkd_layer *about, const uint32_t *sums, const snnkd_input *input, uint32_t n)
{
    uint32_t sum;

    if (about->neuron == (SNNKD_NEURON_DELTA | (about->neuron & SNNKD_NEURON_CUMULATIVE))) {
        return (uint32_t)input[n];
    }
    sum = sums[n] << about->left;
    if (about->kind == SNNKD_KIND_CONV) {
        return ((sum & UINT32_C(0x00FFFFFF)) ^ UINT32_C(0x00800000)) - UINT32_C(0x00800000);
    }
    return (about->right != 0U) ? shift_right(sum, about->right) : sum;
}

/* Whether a change is sent: the size of -2^31 is -2^31, below every threshold. */
static bool is_sent(uint32_t error, int32_t threshold)
{
    const uint32_t size = ((error >> 31) != 0U) ? (0U - error) : error;

    return (size <= (uint32_t)INT32_MAX) && (size >= (uint32_t)threshold);
}

/* What a neuron does to the sum that it holds, of a Delta encoder to the input: shift or bias, and ReLU. */
static uint32_t activation_of(const snnkd_layer *about, const snnkd_neuron *own, uint32_t sum)
{
    uint32_t active = sum + (uint32_t)own->bias;

    if ((about->neuron & SNNKD_NEURON_KIND) == SNNKD_NEURON_DELTA) {
        active = sum << own->keep_u;
    }
    return (((about->neuron & SNNKD_NEURON_RELU) != 0U) && ((active >> 31) != 0U)) ? 0U : active;
}

#if SNNKD_STATELESS
/* The only step of a neuron: its message. */
static uint32_t message_of(const snnkd_layer *about, const snnkd_neuron *own, snnkd_state *state, uint32_t a, uint32_t n)
{
    const uint32_t active = activation_of(about, own, a);
    const bool decodes = (about->neuron & SNNKD_NEURON_KIND) == SNNKD_NEURON_SIGMA;
    const bool sent = decodes || is_sent(active, own->threshold);
    const uint32_t message = sent ? shift_right(active, own->keep_v) : 0U;

    state->sums[about->sums + n] = active;
#ifdef SNNKD_OBSERVE
    snnkd_observe((uint32_t)(about - snnkd_layers), n, to_signed(a), to_signed(message), to_signed(sent ? 0U : active));
#endif
    return message;
}
#else
/* A step of a sigma-delta neuron: its message. */
static uint32_t message_of(const snnkd_layer *about, const snnkd_neuron *own, snnkd_state *state, uint32_t a, uint32_t n)
{
    const uint32_t kind = about->neuron & SNNKD_NEURON_KIND;
    int32_t *values = &state->values[about->u + n];
    int32_t *act = &state->values[about->v + n];
    int32_t *residue = &values[about->neurons];
    int32_t *next = &values[2U * about->neurons]; /* sigma, and behind it error */
    uint32_t active = a;
    uint32_t change;
    uint32_t error;
    uint32_t sent;

    if (kind == SNNKD_NEURON_SIGMA) {
        *act = to_signed((uint32_t)*act + a);
        return (uint32_t)*act;
    }
    if (kind == SNNKD_NEURON_SIGMA_DELTA) {
        active += (uint32_t)*next;
        *next = to_signed(active);
        next = &values[3U * about->neurons];
    }
    active = activation_of(about, own, active);
    change = (active - (uint32_t)*act) + (uint32_t)*residue;
    error = change;
    if ((about->neuron & SNNKD_NEURON_CUMULATIVE) != 0U) {
        error += (uint32_t)*next;
    }
    sent = is_sent(error, own->threshold) ? change : 0U;
    *act = to_signed(active);
    *residue = to_signed(change - sent);
    if ((about->neuron & SNNKD_NEURON_CUMULATIVE) != 0U) {
        *next = ((sent == 0U) || (sent == UINT32_C(0x80000000))) ? to_signed(error) : 0;
    }
    *values = to_signed(shift_right(sent, own->keep_v));
    return (uint32_t)*values;
}
#endif

/* All neurons of a sigma-delta layer, from its sums of this step to its messages, and which of them are not 0. */
static void update_messages(uint32_t index, snnkd_state *state, const snnkd_input *input, const uint32_t *sums)
{
    const snnkd_layer *about = &snnkd_layers[index];
    uint32_t parameters = 0U;
    uint32_t n;

    for (n = 0U; n < about->neurons; n++) {
        const snnkd_neuron *own = &snnkd_neurons[about->parameters + parameters];
        const uint32_t message = message_of(about, own, state, arrived(about, sums, input, n), n);
        uint32_t *word = &state->spikes[about->spikes + (n / WORD_BITS)];

        if ((n % WORD_BITS) == 0U) {
            *word = 0U;
        }
        if (message != 0U) {
            *word |= UINT32_C(1) << (n % WORD_BITS);
        }
        if (index == (SNNKD_LAYERS - 1U)) {
            state->counts[n] += message;
        }
        parameters++;
        if (parameters == about->period) {
            parameters = 0U;
        }
    }
}
#endif

#if SNNKD_READS_MAXIMUM || SNNKD_READS_SUM
/* What the readout reads of each output's voltage after this step. Highest voltages lie 2^31 higher than they are, so
 * that none is below the 0 of a reset. */
static void read_outputs(snnkd_state *state)
{
    uint32_t n;

    for (n = 0U; n < SNNKD_OUTPUTS; n++) {
        const int32_t voltage = snnkd_voltage(state, SNNKD_LAYERS - 1U, n);
#if SNNKD_READS_MAXIMUM
        const uint32_t raised = (uint32_t)voltage + UINT32_C(0x80000000);

        if (raised > state->read[n]) {
            state->read[n] = raised;
        }
#else
        uint32_t *sum = &state->read[2U * n];
        const uint32_t low = (uint32_t)voltage;

        sum[0] += low;
        sum[1] += ((voltage < 0) ? UINT32_MAX : 0U) + ((sum[0] < low) ? 1U : 0U);
#endif
    }
}
#endif

/* ---- The network ---- */

static void finish(uint32_t index, snnkd_state *state, const snnkd_input *input, const uint32_t *sums)
{
#if SNNKD_USES_MESSAGES
    if (snnkd_layers[index].neuron != SNNKD_NEURON_CUBA) {
        update_messages(index, state, input, sums);
        return;
    }
#endif
#if SNNKD_USES_CUBA
    update(index, state, input, sums);
#endif
}

static void run_layer(uint32_t index, snnkd_state *state, const snnkd_input *input)
{
    const snnkd_layer *layer = &snnkd_layers[index];
    uint32_t *sums = &state->sums[layer->sums];
    const bool kept = (layer->source == SNNKD_NONE) && (input == NULL);

#if SNNKD_USES_INPUT_NEURONS
    if (layer->kind == SNNKD_KIND_INPUT) {
        finish(index, state, input, NULL);
        return;
    }
#endif
#if SNNKD_USES_DELAYS
    if (layer->delay_slots != 0U) {
#if SNNKD_USES_ROUNDED_DELAYS
        if (layer->delay_right != 0U) {
            send_rounded(layer, state, input);
        } else
#endif
        {
            arrive_all(layer, state, input);
        }
        sums = pending(layer, state, 0U);
        finish(index, state, input, sums);
        clear(sums, layer->neurons);
        return;
    }
#endif
    if (!kept) {
#if !SNNKD_STATELESS
        clear(sums, layer->neurons); /* stateless ones are 0 since the reset */
#endif
        arrive_all(layer, state, input);
    }
    finish(index, state, input, sums);
}

void snnkd_init(snnkd_state *state)
{
    snnkd_reset(state);
}

void snnkd_reset(snnkd_state *state)
{
    (void)memset(state, 0, sizeof *state);
}

void snnkd_step(snnkd_state *state, const snnkd_input *input)
{
    uint32_t index;

#if SNNKD_STATELESS
    if (state->step != 0U) {
        snnkd_reset(state);
    }
#endif
    for (index = 0U; index < SNNKD_LAYERS; index++) {
        run_layer(index, state, input);
    }
#if SNNKD_READS_MAXIMUM || SNNKD_READS_SUM
    read_outputs(state);
#endif
    state->step++;
}

bool snnkd_spiked(const snnkd_state *state, uint32_t layer, uint32_t neuron)
{
    return ((state->spikes[snnkd_layers[layer].spikes + (neuron / WORD_BITS)] >> (neuron % WORD_BITS)) & 1U) != 0U;
}

int32_t snnkd_voltage(const snnkd_state *state, uint32_t layer, uint32_t neuron)
{
#if SNNKD_STATELESS
    return to_signed(state->sums[snnkd_layers[layer].sums + neuron]);
#else
    return state->values[snnkd_layers[layer].v + neuron];
#endif
}

/* ---- Readout ---- */

/* The neuron, channels last, of an output in the order of the classes (C, H, W). */
static uint32_t neuron_of(uint32_t output)
{
    return ((output % SNNKD_OUTPUT_PIXELS) * SNNKD_OUTPUT_CHANNELS) + (output / SNNKD_OUTPUT_PIXELS);
}

#if !SNNKD_READS_MEMBRANE
static int64_t count_of(const snnkd_state *state, uint32_t class)
{
    int64_t sum = 0;
    uint32_t member;

    for (member = 0U; member < SNNKD_POPULATION; member++) {
        const uint32_t count = state->counts[neuron_of((class * SNNKD_POPULATION) + member)];

#if SNNKD_COUNTS_MESSAGES
        sum += to_signed(count);
#else
        sum += (int64_t)count;
#endif
    }
    return sum;
}
#endif

#if SNNKD_READS_MEMBRANE || SNNKD_TIES_BY_MEMBRANE
/* What is read of the voltage of an output. */
static int64_t read_of(const snnkd_state *state, uint32_t neuron)
{
#if SNNKD_READS_MAXIMUM
    return (int64_t)state->read[neuron];
#elif SNNKD_READS_SUM
    return ((int64_t)to_signed(state->read[(2U * neuron) + 1U]) * INT64_C(4294967296)) +
           (int64_t)state->read[2U * neuron];
#else
    return (int64_t)snnkd_voltage(state, SNNKD_LAYERS - 1U, neuron);
#endif
}

static int64_t membrane_of(const snnkd_state *state, uint32_t class)
{
    int64_t sum = 0;
    uint32_t member;

    for (member = 0U; member < SNNKD_POPULATION; member++) {
        sum += read_of(state, neuron_of((class * SNNKD_POPULATION) + member));
    }
    return sum;
}
#endif

/* What the highest of wins, and what decides between equals. */
static int64_t score_of(const snnkd_state *state, uint32_t class)
{
#if SNNKD_READS_MEMBRANE
    return membrane_of(state, class);
#else
    return count_of(state, class);
#endif
}

static int64_t tie_of(const snnkd_state *state, uint32_t class)
{
#if SNNKD_TIES_BY_MEMBRANE
    return membrane_of(state, class);
#else
    (void)state;
    (void)class;
    return 0;
#endif
}

void snnkd_counts(const snnkd_state *state, uint32_t counts[SNNKD_OUTPUTS])
{
    uint32_t output;

    for (output = 0U; output < SNNKD_OUTPUTS; output++) {
        counts[output] = state->counts[neuron_of(output)];
    }
}

uint32_t snnkd_classify(const snnkd_state *state)
{
    int64_t score = score_of(state, 0U);
    int64_t tie = tie_of(state, 0U);
    uint32_t best = 0U;
    uint32_t class;

    for (class = 1U; class < SNNKD_CLASSES; class++) {
        const int64_t other = score_of(state, class);
        const int64_t other_tie = tie_of(state, class);

        if ((other > score) || ((other == score) && (other_tie > tie))) {
            score = other;
            tie = other_tie;
            best = class;
        }
    }
    return best;
}

bool snnkd_decided(const snnkd_state *state)
{
#if SNNKD_EXITS_EARLY
    int64_t first = score_of(state, 0U);
    int64_t second = first;
    uint32_t class;

    for (class = 1U; class < SNNKD_CLASSES; class++) {
        const int64_t score = score_of(state, class);

        if (score > first) {
            second = first;
            first = score;
        } else if ((score > second) || (class == 1U)) {
            second = score;
        } else {
            /* neither the best nor the second best */
        }
    }
    return (state->step >= SNNKD_EXIT_FIRST) && ((first - second) >= SNNKD_EXIT_MARGIN);
#else
    (void)state;
    return false;
#endif
}
