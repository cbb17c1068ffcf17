/*
 * memory FOLDER: opening needs little stack, and large memory that is missing is a status. FOLDER has small.omomi.
 */

#define _GNU_SOURCE

#include "small.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STACK_LEN_BYTES = 64 * 1024, MAX_USED_BYTES = 32 * 1024, PAINT = 0x5a };

static OmomiError error = OMOMI_ERROR_INIT;
static const char *path;
static Small small;

static void *open_model(void *unused) {
  OmomiOpenOptions options = OMOMI_OPEN_OPTIONS_INIT;
  OmomiModel *model;
  OmomiError own = OMOMI_ERROR_INIT;
  size_t mode;
  (void)unused;
  for (mode = 0; mode < 2; mode++) {
    options.load_mode = (OmomiLoadMode)mode;
    CHECK(omomi_model_open(omomi_c_text(path), &options, &model, &own) == OMOMI_STATUS_OK);
    omomi_model_close(model);
  }
  return NULL;
}

static void *open_scorer(void *unused) {
  OmomiError own = OMOMI_ERROR_INIT;
  OmomiSchema *schema;
  OmomiLayout *layout;
  OmomiScorer *scorer;
  (void)unused;
  CHECK(omomi_schema_of_model(small.model, &schema, &own) == OMOMI_STATUS_OK);
  CHECK(omomi_layout_open(schema, 500, 4096, &layout, &own) == OMOMI_STATUS_OK);
  CHECK(omomi_scorer_open(small.model, layout, &scorer, &own) == OMOMI_STATUS_OK);
  omomi_scorer_close(scorer);
  omomi_layout_close(layout);
  omomi_schema_close(schema);
  return NULL;
}

static void *predict(void *unused) {
  OmomiError own = OMOMI_ERROR_INIT;
  (void)unused;
  omomi_scorer_hand_over(small.scorer);
  CHECK(omomi_request_predict(small.scorer, &small.request, OMOMI_ALL_FILLED, &own) == OMOMI_STATUS_OK);
  return NULL;
}

static void *nothing(void *unused) { return unused; }

/* Returns how much of a stack of 64 kB `body` touched. */
static size_t stack_used(void *(*body)(void *)) {
  unsigned char *stack =
      (unsigned char *)mmap(NULL, STACK_LEN_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_t thread;
  size_t untouched = 0;
  CHECK(stack != MAP_FAILED);
  memset(stack, PAINT, STACK_LEN_BYTES);
  CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstack(&attributes, stack, STACK_LEN_BYTES) == 0);
  CHECK(pthread_create(&thread, &attributes, body, NULL) == 0 && pthread_join(thread, NULL) == 0);
  while (untouched < STACK_LEN_BYTES && stack[untouched] == PAINT)
    untouched++;
  munmap(stack, STACK_LEN_BYTES);
  return STACK_LEN_BYTES - untouched;
}

static void opening_and_predicting_need_little_stack(void) {
  const size_t own = stack_used(nothing), model = stack_used(open_model) - own;
  const size_t scorer = stack_used(open_scorer) - own, prediction = stack_used(predict) - own;
  if (model > MAX_USED_BYTES || scorer > MAX_USED_BYTES || prediction > MAX_USED_BYTES) {
    fprintf(stderr, "model_open needs %lu bytes of stack, scorer_open %lu, predict %lu\n", (unsigned long)model,
            (unsigned long)scorer, (unsigned long)prediction);
    exit(1);
  }
}

/* Each of these once ended the process. */
static void missing_memory_is_a_status(void) {
  struct rlimit before, limit;
  OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
  OmomiCandidateSet *set;
  OmomiLayout *layout;
  OmomiScorer *scorer = NULL;
  OmomiStatus status;
  const OmomiModel *models[1];
  models[0] = small.model;
  options.candidate_capacity = 4;
  options.candidates = OMOMI_CANDIDATES_PREPARED;
  EXPECT(OK, omomi_candidate_set_open(small.layout, 1 << 20, 1024, &set, &error));
  EXPECT(OK, omomi_layout_open_with(small.schema, &options, &layout, &error));
  CHECK(getrlimit(RLIMIT_AS, &before) == 0);
  limit = before;
  limit.rlim_cur = 1 << 30;
  CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
  status = omomi_scorer_open_with(models, 1, layout, set, &scorer, &error);
  CHECK(setrlimit(RLIMIT_AS, &before) == 0);
  EXPECT_SAYING(OUT_OF_MEMORY, "there is no memory for the candidates of a set", status);
  CHECK(scorer == NULL);
  omomi_layout_close(layout);
  omomi_candidate_set_close(set);
}

/* A sparse file: it takes no disk, and more address space than there is. */
static void a_weight_file_without_room_is_a_status(const char *folder) {
  struct rlimit before, limit;
  OmomiOpenOptions options = OMOMI_OPEN_OPTIONS_INIT;
  OmomiModel *model = NULL;
  char huge[4200];
  size_t mode;
  FILE *file;
  snprintf(huge, sizeof huge, "%s/huge.omomi", folder);
  file = fopen(huge, "wb");
  CHECK(file != NULL && fputs("OMOMI", file) >= 0 && fclose(file) == 0);
  CHECK(truncate(huge, (off_t)3 << 30) == 0 && getrlimit(RLIMIT_AS, &before) == 0);
  limit = before;
  limit.rlim_cur = 1 << 30;
  CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
  for (mode = 0; mode < 2; mode++) {
    options.load_mode = (OmomiLoadMode)mode;
    EXPECT_SAYING(OUT_OF_MEMORY, "there is no memory for a weight file: expected 3221225472 bytes",
                  omomi_model_open(omomi_c_text(huge), &options, &model, &error));
  }
  CHECK(setrlimit(RLIMIT_AS, &before) == 0 && model == NULL && remove(huge) == 0);
}

int main(int argc, char **argv) {
  static char name[4096];
  CHECK(argc == 2);
  snprintf(name, sizeof name, "%s/small.omomi", argv[1]);
  path = name;
  small = small_open(path);
  opening_and_predicting_need_little_stack();
  missing_memory_is_a_status();
  a_weight_file_without_room_is_a_status(argv[1]);
  small_close(&small);
  printf("little stack, and a status for missing memory\n");
  return 0;
}
