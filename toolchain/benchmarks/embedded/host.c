/* Runs samples on this machine: host SAMPLES SIZE COUNT SECONDS CLASSES
 *
 * SAMPLES: a file of COUNT samples of SIZE bytes. Writes their classes, uint32_t each, to the file CLASSES; then runs
 * all of them again and again for SECONDS, at least once, and prints the nanoseconds of one. SECONDS 0: only classes.
 */
#include "subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + ((double)at.tv_nsec * 1e-9);
}

static void run_all(const uint8_t *samples, size_t size, size_t count, uint32_t *classes)
{
    size_t i;

    for (i = 0; i < count; i++) {
        classes[i] = subject_run(&samples[i * size], (uint32_t)i);
    }
}

static void measure(const uint8_t *samples, size_t size, size_t count, uint32_t *classes, double seconds)
{
    const double start = now();
    unsigned long passes = 0;
    double passed;

    do {
        run_all(samples, size, count, classes);
        passes++;
        passed = now() - start;
    } while (passed < seconds);
    (void)printf("%.3f\n", passed * 1e9 / ((double)passes * (double)count));
}

int main(int argc, char **argv)
{
    const size_t size = (argc == 6) ? strtoul(argv[2], NULL, 10) : 0;
    const size_t count = (argc == 6) ? strtoul(argv[3], NULL, 10) : 0;
    const double seconds = (argc == 6) ? atof(argv[4]) : 0.0;
    uint8_t *samples = malloc(size * count);
    uint32_t *classes = malloc(count * sizeof *classes);
    FILE *in = (argc == 6) ? fopen(argv[1], "rb") : NULL;
    FILE *out = (argc == 6) ? fopen(argv[5], "wb") : NULL;

    if (!in || !out || !samples || !classes || (fread(samples, size, count, in) != count)) {
        (void)fprintf(stderr, "usage: host SAMPLES SIZE COUNT SECONDS CLASSES\n");
        return 2;
    }
    run_all(samples, size, count, classes);
    if ((fwrite(classes, sizeof *classes, count, out) != count) || (fclose(out) != 0)) {
        return 2;
    }
    if (seconds > 0.0) {
        measure(samples, size, count, classes, seconds);
    }
    return 0;
}
