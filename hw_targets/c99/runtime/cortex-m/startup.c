/* From reset to main on any Cortex-M. */
#include <stdint.h>

#include "semihosting.h"

extern uint32_t data_start[];
extern uint32_t data_end[];
extern const uint32_t data_source[];
extern uint32_t bss_start[];
extern uint32_t bss_end[];
extern uint32_t stack_top[];

int main(void);
void reset_handler(void);
void fault_handler(void);

__attribute__((noreturn)) void reset_handler(void)
{
    const uint32_t *from = data_source;
    uint32_t *to;

    for (to = data_start; to != data_end; to++) {
        *to = *from;
        from++;
    }
    for (to = bss_start; to != bss_end; to++) {
        *to = 0U;
    }
    semihosting_exit(main());
}

__attribute__((noreturn)) void fault_handler(void)
{
    semihosting_print("FAULT\n");
    semihosting_exit(3);
}

typedef void (*handler)(void);

typedef struct {
    uint32_t *stack;
    handler handlers[15];
} vector_table;

extern const vector_table vectors;

__attribute__((section(".vectors"), used)) const vector_table vectors = {
    stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler},
};
