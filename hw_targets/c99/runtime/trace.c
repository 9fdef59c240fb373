/* Runs events from a file through the network and writes every spike and state to another: trace IN OUT.
 *
 * IN: samples and steps as uint32_t, then the events of each sample and step, snnkd_input each.
 * OUT: for each sample, for each step: the class and whether the run may end, as uint32_t; for each layer its spikes
 * as uint8_t, u and v as int32_t, or of sigma-delta neurons act, messages, residue, sigma and error as int32_t, as far as
 * they have them; after the last step the counts of the outputs. All in this machine's byte order.
 */
#include "snnkd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if SNNKD_STATELESS
/* What a step computes of each neuron, and no state holds. */
static int32_t sigmas[SNNKD_SUMS];
static int32_t messages[SNNKD_SUMS];
static int32_t residues[SNNKD_SUMS];

void snnkd_observe(uint32_t layer, uint32_t neuron, int32_t sigma, int32_t message, int32_t residue);

void snnkd_observe(uint32_t layer, uint32_t neuron, int32_t sigma, int32_t message, int32_t residue)
{
    const uint32_t at = snnkd_layers[layer].sums + neuron;

    sigmas[at] = sigma;
    messages[at] = message;
    residues[at] = residue;
}
#else
static uint8_t spikes[SNNKD_VALUES];
static int32_t currents[SNNKD_VALUES];
static int32_t voltages[SNNKD_VALUES];

void snnkd_observe(uint32_t layer, uint32_t neuron, int32_t u, int32_t v, bool spiked);

void snnkd_observe(uint32_t layer, uint32_t neuron, int32_t u, int32_t v, bool spiked)
{
    const uint32_t at = snnkd_layers[layer].v + neuron;

    spikes[at] = spiked ? 1U : 0U;
    currents[at] = u;
    voltages[at] = v;
}
#endif

static void write_all(FILE *file, const void *data, size_t size, size_t count)
{
    if (fwrite(data, size, count, file) != count) {
        perror("trace: cannot write");
        exit(2);
    }
}

static void read_all(FILE *file, void *data, size_t size, size_t count)
{
    if (fread(data, size, count, file) != count) {
        (void)fprintf(stderr, "trace: the events end too early\n");
        exit(2);
    }
}

static void check(bool agree)
{
    if (!agree) {
        (void)fprintf(stderr, "trace: the state and its observer disagree\n");
        exit(2);
    }
}

#if SNNKD_STATELESS
static void write_layer(FILE *file, const snnkd_state *state, uint32_t layer)
{
    const uint32_t neuron = snnkd_layers[layer].neuron;
    const uint32_t at = snnkd_layers[layer].sums;
    const uint32_t count = snnkd_layers[layer].neurons;
    uint32_t n;

    for (n = 0U; n < count; n++) {
        const int32_t held = snnkd_voltage(state, layer, n);

        check(snnkd_spiked(state, layer, n) == (messages[at + n] != 0));
        write_all(file, &held, sizeof held, 1U);
    }
    write_all(file, &messages[at], sizeof messages[0], count);
    if ((neuron & SNNKD_NEURON_KIND) != SNNKD_NEURON_SIGMA) {
        write_all(file, &residues[at], sizeof residues[0], count);
    }
    if ((neuron & SNNKD_NEURON_KIND) == SNNKD_NEURON_SIGMA_DELTA) {
        write_all(file, &sigmas[at], sizeof sigmas[0], count);
    }
    if ((neuron & SNNKD_NEURON_CUMULATIVE) != 0U) { /* after one step the error is what was not sent */
        write_all(file, &residues[at], sizeof residues[0], count);
    }
}
#else
#if SNNKD_USES_MESSAGES
/* How many values of a sigma-delta neuron lie from u on. */
static size_t kept_by(uint32_t neuron)
{
    const size_t error = ((neuron & SNNKD_NEURON_CUMULATIVE) != 0U) ? 1U : 0U;
    const uint32_t kind = neuron & SNNKD_NEURON_KIND;

    return (kind == SNNKD_NEURON_SIGMA) ? 1U : (((kind == SNNKD_NEURON_DELTA) ? 2U : 3U) + error);
}
#endif

static void write_layer(FILE *file, const snnkd_state *state, uint32_t layer)
{
    const uint32_t at = snnkd_layers[layer].v;
    const uint32_t count = snnkd_layers[layer].neurons;
    uint32_t n;

#if SNNKD_USES_MESSAGES
    if (snnkd_layers[layer].neuron != SNNKD_NEURON_CUBA) {
        write_all(file, &state->values[at], sizeof state->values[0], count);
        write_all(file, &state->values[snnkd_layers[layer].u], sizeof state->values[0],
                  (size_t)count * kept_by(snnkd_layers[layer].neuron));
        return;
    }
#endif
    for (n = 0U; n < count; n++) {
        check(((snnkd_spiked(state, layer, n) ? 1U : 0U) == spikes[at + n]) &&
              (snnkd_voltage(state, layer, n) == voltages[at + n]));
    }
    write_all(file, &spikes[at], sizeof spikes[0], count);
    write_all(file, &currents[at], sizeof currents[0], count);
    write_all(file, &voltages[at], sizeof voltages[0], count);
}
#endif

static void write_step(FILE *file, const snnkd_state *state)
{
    const uint32_t answer[2] = {snnkd_classify(state), snnkd_decided(state) ? 1U : 0U};
    uint32_t layer;

    write_all(file, answer, sizeof answer[0], 2U);
    for (layer = 0U; layer < SNNKD_LAYERS; layer++) {
        write_layer(file, state, layer);
    }
}

static void run_sample(FILE *in, FILE *out, uint32_t steps)
{
    static snnkd_state state;
    static snnkd_input events[2][SNNKD_INPUTS];
    uint32_t counts[SNNKD_OUTPUTS];
    uint32_t step;

    snnkd_reset(&state);
    for (step = 0U; step < steps; step++) {
        snnkd_input *now = events[step % 2U];
        const bool repeated = (step != 0U) && (SNNKD_KEEPS_INPUT != 0);

        read_all(in, now, sizeof now[0], SNNKD_INPUTS);
        if (repeated && (memcmp(events[0], events[1], sizeof events[0]) == 0)) {
            snnkd_step(&state, NULL);
        } else {
            snnkd_step(&state, now);
        }
        write_step(out, &state);
    }
    snnkd_counts(&state, counts);
    write_all(out, counts, sizeof counts[0], SNNKD_OUTPUTS);
}

int main(int argc, char **argv)
{
    uint32_t size[2];
    uint32_t sample;
    FILE *in = (argc == 3) ? fopen(argv[1], "rb") : NULL;
    FILE *out = (argc == 3) ? fopen(argv[2], "wb") : NULL;

    if ((in == NULL) || (out == NULL)) {
        (void)fprintf(stderr, "usage: trace IN OUT\n");
        return 2;
    }
    read_all(in, size, sizeof size[0], 2U);
    for (sample = 0U; sample < size[0]; sample++) {
        run_sample(in, out, size[1]);
    }
    if ((fclose(in) != 0) || (fclose(out) != 0)) {
        perror("trace: cannot write");
        return 2;
    }
    return 0;
}
