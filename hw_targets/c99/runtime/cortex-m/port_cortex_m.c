/* The self-test on a Cortex-M: prints by semihosting, measures instructions and stack.
 *
 * Under QEMU with -icount shift=0, an instruction takes a nanosecond of the machine's time, which SysTick measures in
 * ticks of its clock; a loop of known length says how many instructions a tick has. So they are instructions, not
 * cycles. On a real chip the same numbers would be cycles of this loop, and not comparable.
 */
#include "port.h"
#include "semihosting.h"

#include <stddef.h>
#include <stdint.h>

#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010U)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014U)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xE000E018U)
#define SYSTICK_BITS 0x00FFFFFFU
#define SYS_WRITE0 0x04U
#define SYS_EXIT 0x18U
#define SYS_EXIT_EXTENDED 0x20U
#define STOPPED_BY_APPLICATION 0x20026U
#define LOOPS 400000U
#define INSTRUCTIONS_OF_A_LOOP 2U
#define PAINT 0xA5A5A5A5U
#define PAINTED_BYTES 1024U
#define GAP_BYTES 64U /* below the stack pointer, which the painting itself may use */

extern uint32_t bss_end[];

static uint64_t ticks;
static uint32_t began;
static uint32_t bottom; /* of the paint */
static uint32_t deepest;

static uint32_t call(uint32_t operation, const void *parameter)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = parameter;

    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void semihosting_print(const char *text)
{
    (void)call(SYS_WRITE0, text);
}

void semihosting_exit(int status)
{
    const uint32_t reason[2] = {STOPPED_BY_APPLICATION, (uint32_t)status};

    (void)call(SYS_EXIT_EXTENDED, reason);
    for (;;) {
        (void)call(SYS_EXIT, NULL);
    }
}

void port_print(const char *text)
{
    semihosting_print(text);
}

static uint32_t stack_pointer(void)
{
    uint32_t sp;

    __asm__ volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

void port_begin(void)
{
    const uint32_t top = stack_pointer() - GAP_BYTES;
    const uint32_t floor = (uint32_t)(uintptr_t)bss_end;
    uint32_t at;

    bottom = ((top - floor) > PAINTED_BYTES) ? (top - PAINTED_BYTES) : floor;
    for (at = bottom; at < top; at += 4U) {
        *(volatile uint32_t *)(uintptr_t)at = PAINT;
    }
    SYSTICK_CONTROL = 0U;
    SYSTICK_RELOAD = SYSTICK_BITS;
    SYSTICK_VALUE = 0U; /* any write clears it; it reloads at the first tick */
    SYSTICK_CONTROL = 5U; /* the core's clock, no interrupt */
    while (SYSTICK_VALUE == 0U) {
    }
    began = SYSTICK_VALUE;
}

void port_end(void)
{
    const uint32_t ended = SYSTICK_VALUE;
    const uint32_t top = stack_pointer() - GAP_BYTES;
    uint32_t at = bottom;

    ticks += began - ended; /* it counts down */
    while ((at < top) && (*(volatile uint32_t *)(uintptr_t)at == PAINT)) {
        at += 4U;
    }
    if ((stack_pointer() - at) > deepest) {
        deepest = stack_pointer() - at;
    }
}

static void print_number(const char *name, uint64_t number)
{
    char digits[24];
    char *at = &digits[23];

    *at = '\0';
    do {
        at--;
        *at = (char)('0' + (char)(number % 10U));
        number /= 10U;
    } while (number != 0U);
    port_print(name);
    port_print(at);
    port_print("\n");
}

void port_report(unsigned long inferences)
{
    const uint64_t measured = ticks;
    uint32_t rest = LOOPS;
    uint64_t of_loops;

    ticks = 0U;
    port_begin();
    __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+l"(rest) : : "cc");
    port_end();
    of_loops = ticks;
    print_number("ticks: ", measured);
    print_number("ticks of the loop: ", of_loops);
    print_number("instructions of the loop: ", (uint64_t)LOOPS * INSTRUCTIONS_OF_A_LOOP);
    if ((of_loops != 0U) && (inferences != 0U)) {
        print_number("instructions per inference: ",
                     (measured * LOOPS * INSTRUCTIONS_OF_A_LOOP) / (of_loops * inferences));
    }
    print_number("stack bytes: ", deepest);
}
