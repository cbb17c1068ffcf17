/* Sets the floating-point mode of the calling thread, which Java cannot do. Native methods of RoundingTest.Program. */
#include <fenv.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

/* Flushes tiny numbers to zero: the bits FTZ and DAZ of the processor. */
#define TINY_IS_ZERO 0x8040u
#define FLUSHING 4

/* 0 to 3 are the modes above, 4 flushes tiny numbers to zero. */
void Java_io_omomi_RoundingTest_00024Program_setMode(void *env, void *class, int mode) {
  (void)env, (void)class;
#if defined(__x86_64__)
  const unsigned rest = _mm_getcsr() & ~TINY_IS_ZERO;
  _mm_setcsr(mode == FLUSHING ? rest | TINY_IS_ZERO : rest);
#endif
  fesetround(modes[mode % FLUSHING]);
}

int Java_io_omomi_RoundingTest_00024Program_mode(void *env, void *class) {
  (void)env, (void)class;
#if defined(__x86_64__)
  if (_mm_getcsr() & TINY_IS_ZERO)
    return FLUSHING;
#endif
  for (int mode = 0; mode < FLUSHING; mode++)
    if (fegetround() == modes[mode])
      return mode;
  return -1;
}
