/* Runs samples on an emulated chip: compares the classes, measures instructions and stack as the self-test does. */
#include "port.h"
#include "samples.h"
#include "subject.h"

#ifdef __ARM_FP
#define COPROCESSORS (*(volatile uint32_t *)0xE000ED88U)

static void start_floats(void)
{
    COPROCESSORS |= UINT32_C(0x00F00000);
    __asm__ volatile("dsb\n isb");
}
#else
static void start_floats(void)
{
}
#endif

int main(void)
{
    uint32_t i;

    start_floats();
    for (i = 0U; i < SAMPLES; i++) {
        uint32_t found;

        port_begin();
        found = subject_run(&samples[i * SAMPLE_SIZE], i);
        port_end();
        if (found != sample_classes[i]) {
            port_print("DIFFERENT class\n");
            return 1;
        }
    }
    port_report(SAMPLES);
    return 0;
}
