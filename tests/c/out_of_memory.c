/*
 * out_of_memory FOLDER [LEN_BYTES]: opens everything, one call after the other, while allocations of at least LEN_BYTES
 * fail (16 KiB), and then while only the n-th of them fails. Each call returns OMOMI_STATUS_OK or
 * OMOMI_STATUS_OUT_OF_MEMORY, and leaves its output alone when it fails. This program's malloc and related functions
 * replace those of the C library. FOLDER has small.omomi.
 */

#define _GNU_SOURCE

#include "small.h"
#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

/* 0 while no allocation fails. */
static size_t failing_len_bytes;
/* The large allocation that fails, counted from 1, or 0 for all of them. */
static size_t failing_number, large_count;

static int fails(size_t len_bytes) {
  if (failing_len_bytes == 0 || len_bytes < failing_len_bytes)
    return 0;
  large_count++;
  return failing_number == 0 || failing_number == large_count;
}

void *malloc(size_t size) { return fails(size) ? NULL : __libc_malloc(size); }

void *calloc(size_t count, size_t size) { return fails(count * size) ? NULL : __libc_calloc(count, size); }

void *realloc(void *memory, size_t size) { return fails(size) ? NULL : __libc_realloc(memory, size); }

void *memalign(size_t alignment, size_t size) { return fails(size) ? NULL : __libc_memalign(alignment, size); }

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
  *memory = memalign(alignment, size);
  return *memory == NULL ? ENOMEM : 0;
}

static Small small;
static const char *path;
static size_t len_bytes = 16 * 1024;
static OmomiError error = OMOMI_ERROR_INIT;

static OmomiStatus open_model(OmomiLoadMode mode) {
  OmomiOpenOptions options = OMOMI_OPEN_OPTIONS_INIT;
  OmomiModel *model = NULL;
  OmomiStatus status;
  options.load_mode = mode;
  status = omomi_model_open(omomi_c_text(path), &options, &model, &error);
  CHECK((model != NULL) == (status == OMOMI_STATUS_OK));
  omomi_model_close(model);
  return status;
}

static OmomiStatus open_mapped_model(void) { return open_model(OMOMI_LOAD_MODE_MAP); }

static OmomiStatus open_copied_model(void) { return open_model(OMOMI_LOAD_MODE_COPY); }

/* As many fields as there may be, with the longest names. */
static OmomiStatus open_schema(void) {
  static char names[128][65];
  static OmomiField fields[128];
  OmomiSchema *schema = NULL;
  OmomiStatus status;
  size_t index;
  for (index = 0; index < 128; index++) {
    memset(names[index], 'x', 64);
    names[index][0] = (char)('a' + index % 16), names[index][1] = (char)('a' + index / 16);
    fields[index] = omomi_id_field(omomi_text_of(names[index], 64),
                                   index < 64 ? OMOMI_SIDE_CONTEXT : OMOMI_SIDE_CANDIDATE);
  }
  status = omomi_schema_open(fields, 128, &schema, &error);
  CHECK((schema != NULL) == (status == OMOMI_STATUS_OK));
  omomi_schema_close(schema);
  return status;
}

static OmomiStatus open_schema_of_model(void) {
  OmomiSchema *schema = NULL;
  const OmomiStatus status = omomi_schema_of_model(small.model, &schema, &error);
  CHECK((schema != NULL) == (status == OMOMI_STATUS_OK));
  omomi_schema_close(schema);
  return status;
}

static OmomiStatus open_layout(void) {
  OmomiLayout *layout = NULL;
  const OmomiStatus status = omomi_layout_open(small.schema, 65536, 64 << 20, &layout, &error);
  CHECK((layout != NULL) == (status == OMOMI_STATUS_OK));
  omomi_layout_close(layout);
  return status;
}

static OmomiStatus open_request(void) {
  OmomiRequest request;
  OmomiStatus status;
  memset(&request, 0, sizeof request);
  status = omomi_request_open(small.layout, &request, &error);
  CHECK((request.block != NULL) == (status == OMOMI_STATUS_OK));
  omomi_request_close(&request);
  return status;
}

static OmomiStatus open_scorer(void) {
  OmomiScorer *scorer = NULL;
  const OmomiStatus status = omomi_scorer_open(small.model, small.layout, &scorer, &error);
  CHECK((scorer != NULL) == (status == OMOMI_STATUS_OK));
  omomi_scorer_close(scorer);
  return status;
}

static OmomiStatus open_scorer_of_model(void) {
  OmomiScorer *scorer = NULL;
  const OmomiStatus status = omomi_scorer_of_model(small.model, 65536, &scorer, &error);
  CHECK((scorer != NULL) == (status == OMOMI_STATUS_OK));
  omomi_scorer_close(scorer);
  return status;
}

static OmomiStatus open_candidate_set(void) {
  OmomiCandidateSet *set = NULL;
  const OmomiStatus status = omomi_candidate_set_open(small.layout, 10000, 8, &set, &error);
  CHECK((set != NULL) == (status == OMOMI_STATUS_OK));
  omomi_candidate_set_close(set);
  return status;
}

static const struct {
  const char *name;
  OmomiStatus (*open)(void);
} CALLS[] = {
    {"model_open, mapped", open_mapped_model},
    {"model_open, copied", open_copied_model},
    {"schema_open", open_schema},
    {"schema_of_model", open_schema_of_model},
    {"layout_open", open_layout},
    {"request_open", open_request},
    {"scorer_open", open_scorer},
    {"scorer_of_model", open_scorer_of_model},
    {"candidate_set_open", open_candidate_set},
};

/* Calls in a fork, and returns its exit status: 0 for OK, 1 for OUT_OF_MEMORY. */
static int outcome(size_t call, size_t number) {
  int exit_status;
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    OmomiStatus status;
    failing_number = number;
    failing_len_bytes = len_bytes;
    status = CALLS[call].open();
    failing_len_bytes = 0;
    if (status != OMOMI_STATUS_OK && status != OMOMI_STATUS_OUT_OF_MEMORY)
      fprintf(stderr, "%s\n", error.message);
    /* Where memory is there again, the call works again. */
    if (status == OMOMI_STATUS_OUT_OF_MEMORY && CALLS[call].open() != OMOMI_STATUS_OK)
      _exit(3);
    if (number != 0 && large_count < number)
      _exit(4);
    _exit(status == OMOMI_STATUS_OK ? 0 : status == OMOMI_STATUS_OUT_OF_MEMORY ? 1 : 2);
  }
  CHECK(waitpid(child, &exit_status, 0) == child);
  return WIFEXITED(exit_status) ? WEXITSTATUS(exit_status) : 128 + WTERMSIG(exit_status);
}

int main(int argc, char **argv) {
  static char name[4096];
  size_t call, number, wrong_count = 0, out_of_memory_count = 0;
  CHECK(argc == 2 || argc == 3);
  if (argc == 3)
    len_bytes = (size_t)strtoul(argv[2], NULL, 10);
  snprintf(name, sizeof name, "%s/small.omomi", argv[1]);
  path = name;
  small = small_open(path);
  for (call = 0; call < sizeof CALLS / sizeof CALLS[0]; call++) {
    int found = outcome(call, 0);
    for (number = 1; found <= 1; number++) {
      out_of_memory_count += found == 1;
      found = outcome(call, number);
    }
    if (found != 4) {
      fprintf(stderr, "%s: allocation %u ended with %d\n", CALLS[call].name, (unsigned)number - 1, found);
      wrong_count++;
    }
  }
  CHECK(wrong_count == 0 && out_of_memory_count > 10);
  small_close(&small);
  printf("missing memory is a status\n");
  return 0;
}
