/* Text and exit status through a debugger or emulator: Arm, "Semihosting for AArch32 and AArch64", 2.0. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

void semihosting_print(const char *text);
void semihosting_exit(int status) __attribute__((noreturn));

#endif
