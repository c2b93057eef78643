/* Whether this processor has what connected.c is compiled for.

   This file is compiled by itself, for any x86-64 processor and without optimization, so that it can
   be called before anything else of the library. The processor that runs the library need not be
   the one that the compiler saw: caches are shared by machines, and processors are emulated. */

#define NEED(feature) &&__builtin_cpu_supports(#feature)

int initguide_runs(void)
{
    __builtin_cpu_init();
    return 1 FEATURES; /* NEED(avx2)NEED(fma)…, from the flags of the compiler */
}
