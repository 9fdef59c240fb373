/* Runs the golden samples and compares every spike of every layer and step, the counts, the classes and the voltages
 * after the last step; where there are golden images or recordings, also what the encoder makes of them. Exit status 0
 * and "ok" where all are equal, else 1 and the first one that differs. With SNNKD_SELFTEST_ALONE defined there is no
 * main, for a firmware that has its own. */
#include "golden.h"
#include "port.h"
#include "snnkd.h"
#include "snnkd_encoder.h"
#include "snnkd_events.h"

#include <stddef.h>

static snnkd_state state;
#if GOLDEN_INPUT_PACKED
static snnkd_input events[SNNKD_INPUTS];
#endif
#if GOLDEN_HAS_IMAGES || GOLDEN_HAS_RECORDINGS
#define ENCODES 1
static snnkd_input encoded[SNNKD_INPUTS];
#else
#define ENCODES 0
#endif
#if GOLDEN_HAS_RECORDINGS
static snnkd_events encoder;
static uint32_t used; /* events of all recordings so far */
#endif

static void print_number(int32_t number)
{
    char digits[12];
    char *at = &digits[11];
    uint32_t rest = (number < 0) ? (0U - (uint32_t)number) : (uint32_t)number;

    *at = '\0';
    do {
        at--;
        *at = (char)('0' + (char)(rest % 10U));
        rest /= 10U;
    } while (rest != 0U);
    if (number < 0) {
        at--;
        *at = '-';
    }
    port_print(at);
}

static void print_with(const char *text, uint32_t number)
{
    port_print(text);
    print_number((int32_t)number);
}

/* True where they are equal, else says what differs. */
static bool same(const char *what, uint32_t neuron, int32_t expected, int32_t found)
{
    if (expected == found) {
        return true;
    }
    print_with(", neuron ", neuron);
    port_print(": ");
    port_print(what);
    port_print(" ");
    print_number(expected);
    port_print(" expected, ");
    print_number(found);
    port_print(" found\n");
    return false;
}

#if GOLDEN_INPUT_PACKED || ENCODES
/* One golden event. */
static snnkd_input event_of(uint32_t sample, uint32_t step, uint32_t i)
{
    const uint32_t at = (sample * GOLDEN_INPUT_STEPS) + ((GOLDEN_INPUT_STEPS == 1U) ? 0U : step);
#if GOLDEN_INPUT_PACKED
    const uint32_t byte = golden_input[(at * GOLDEN_INPUT_ROW) + (i / 8U)];

    return (snnkd_input)((byte >> (i % 8U)) & 1U);
#else
    return golden_input[(at * GOLDEN_INPUT_ROW) + i];
#endif
}
#endif

#if ENCODES
/* Encodes the input of a step. */
static void encode(uint32_t sample, uint32_t step)
{
#if GOLDEN_HAS_IMAGES
    snnkd_encode(&golden_images[sample * SNNKD_INPUTS], sample, step, encoded);
#else
    if (step == 0U) {
        snnkd_events_reset(&encoder);
        used = (sample == 0U) ? 0U : golden_ends[sample - 1U];
    }
    used += snnkd_events_add(&encoder, &golden_events[used], golden_ends[sample] - used, encoded);
    snnkd_events_end(&encoder, encoded);
#endif
}

static bool same_events(uint32_t sample, uint32_t step)
{
    uint32_t i;

    encode(sample, step);
    for (i = 0U; i < SNNKD_INPUTS; i++) {
        const int32_t expected = (int32_t)event_of(sample, step, i);

        if (expected != (int32_t)encoded[i]) {
            print_with("DIFFERENT: sample ", sample);
            print_with(", step ", step);
            port_print(", input");
            return same("event", i, expected, (int32_t)encoded[i]);
        }
    }
    return true;
}
#endif

/* The input of a step, in the form that the runtime takes; NULL for the same as at the step before. */
static const snnkd_input *input_of(uint32_t sample, uint32_t step)
{
#if GOLDEN_INPUT_PACKED
    uint32_t i;

    for (i = 0U; i < SNNKD_INPUTS; i++) {
        events[i] = event_of(sample, step, i);
    }
    return events;
#else
    const uint32_t at = (sample * GOLDEN_INPUT_STEPS) + ((GOLDEN_INPUT_STEPS == 1U) ? 0U : step);
    const bool repeated = (SNNKD_KEEPS_INPUT != 0) && (GOLDEN_INPUT_STEPS == 1U) && (step != 0U);

    return repeated ? NULL : &golden_input[at * GOLDEN_INPUT_ROW];
#endif
}

static bool same_spikes(uint32_t sample, uint32_t step)
{
    const uint32_t *expected = &golden_spikes[((sample * GOLDEN_STEPS) + step) * SNNKD_SPIKE_WORDS];
    uint32_t layer;
    uint32_t n;

    for (layer = 0U; layer < SNNKD_LAYERS; layer++) {
        const uint32_t *words = &expected[snnkd_layers[layer].spikes];

        for (n = 0U; n < snnkd_layers[layer].neurons; n++) {
            const int32_t spike = (((words[n / 32U] >> (n % 32U)) & 1U) != 0U) ? 1 : 0;
            const int32_t found = snnkd_spiked(&state, layer, n) ? 1 : 0;

            if (spike != found) {
                print_with("DIFFERENT: sample ", sample);
                print_with(", step ", step);
                print_with(", layer", layer);
                return same("spike", n, spike, found);
            }
        }
    }
    return true;
}

static bool same_voltages(uint32_t sample)
{
    const int32_t *expected = &golden_voltages[sample * GOLDEN_NEURONS];
    uint32_t layer;
    uint32_t n;

    for (layer = 0U; layer < SNNKD_LAYERS; layer++) {
        for (n = 0U; n < snnkd_layers[layer].neurons; n++) {
            const int32_t found = snnkd_voltage(&state, layer, n);

            if (expected[n] != found) {
                print_with("DIFFERENT: sample ", sample);
                print_with(", after the last step, layer", layer);
                return same("v", n, expected[n], found);
            }
        }
        expected = &expected[snnkd_layers[layer].neurons];
    }
    return true;
}

static bool same_answer(uint32_t sample, uint32_t found)
{
    uint32_t counts[SNNKD_OUTPUTS];
    uint32_t output;

    snnkd_counts(&state, counts);
    for (output = 0U; output < SNNKD_OUTPUTS; output++) {
        const uint32_t expected = golden_counts[(sample * SNNKD_OUTPUTS) + output];

        if (expected != counts[output]) {
            print_with("DIFFERENT: sample ", sample);
            port_print(", output");
            return same("count", output, (int32_t)expected, (int32_t)counts[output]);
        }
    }
    if (golden_classes[sample] != found) {
        print_with("DIFFERENT: sample ", sample);
        print_with(": class ", golden_classes[sample]);
        print_with(" expected, ", found);
        port_print(" found\n");
        return false;
    }
    return true;
}

static bool run(uint32_t sample)
{
    uint32_t class;
    uint32_t step;

    port_begin();
    snnkd_reset(&state);
    port_end();
    for (step = 0U; step < GOLDEN_STEPS; step++) {
        const snnkd_input *input = input_of(sample, step);

#if ENCODES
        if ((sample < GOLDEN_ENCODED) && !same_events(sample, step)) {
            return false;
        }
#endif
        port_begin();
        snnkd_step(&state, input);
        port_end();
        if (!same_spikes(sample, step)) {
            return false;
        }
    }
    port_begin();
    class = snnkd_classify(&state);
    port_end();
    return same_voltages(sample) && same_answer(sample, class);
}

int snnkd_selftest(void)
{
    uint32_t sample;

    snnkd_init(&state);
    for (sample = 0U; sample < GOLDEN_SAMPLES; sample++) {
        if (!run(sample)) {
            return 1;
        }
    }
    print_with("ok ", GOLDEN_SAMPLES);
    print_with(" samples, ", GOLDEN_STEPS);
    print_with(" steps, ", SNNKD_LAYERS);
    port_print(" layers: all ");
    if (ENCODES != 0) {
        print_with("encoded events of ", GOLDEN_ENCODED);
        port_print(" samples, ");
    }
    port_print("spikes, counts, classes and voltages are equal\n");
    port_report(GOLDEN_SAMPLES);
    return 0;
}

#ifndef SNNKD_SELFTEST_ALONE
int main(void)
{
    return snnkd_selftest();
}
#endif
