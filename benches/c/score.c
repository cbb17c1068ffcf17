/*
 * score WEIGHT_FILE REQUESTS: scores requests as a server in C does, on command, and prints how long that took.
 * `cargo bench --bench score` compiles it and talks to it over pipes, so that it takes turns with the other contestants.
 *
 * REQUESTS holds 64-bit integers: 1 if the fields are texts or 0 if they are ids; 1 if candidates are to be prepared or
 * 0 if not; the number of requests, of candidates per request, and of fields per side; then the categories of each
 * request, context first. If candidates are to be prepared, the index of each candidate in the set follows, request by
 * request.
 *
 * The first line of the output is a checksum that depends on every bit of every logit. Then each line of the standard
 * input is a number of requests to score, and each line of the output is the time that took, in nanoseconds.
 */

#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <omomi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_FIELDS 32
/* "category-" and six digits. */
#define TEXT_LEN 15

static OmomiError error = OMOMI_ERROR_INIT;
static OmomiScorer *scorer;
static OmomiRequest request;
static OmomiSlot context_slots[MAX_FIELDS], candidate_slots[MAX_FIELDS];
static int64_t texts_wanted, prepared, request_count, candidate_count, field_count;
static int64_t *ids;
/* Indices of the candidates in the set, request by request. */
static uint32_t *names;
static char (*texts)[TEXT_LEN + 1];
/* Keeps the compiler from removing the reads of probabilities. */
static volatile float sum_read;

static void check(OmomiStatus status) {
  if (status != OMOMI_STATUS_OK) {
    fprintf(stderr, "%s\n", error.message);
    exit(1);
  }
}

static void need(int condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "%s\n", what);
    exit(1);
  }
}

static void read_numbers(FILE *file, int64_t *numbers, size_t count) {
  need(fread(numbers, sizeof *numbers, count, file) == count, "the requests are too short");
}

static void read_requests(const char *path) {
  FILE *file = fopen(path, "rb");
  int64_t head[5];
  size_t count, index;
  need(file != NULL, "no requests");
  read_numbers(file, head, 5);
  texts_wanted = head[0], prepared = head[1], request_count = head[2], candidate_count = head[3], field_count = head[4];
  need(field_count <= MAX_FIELDS, "too many fields");
  count = (size_t)(request_count * (1 + candidate_count) * field_count);
  ids = malloc(count * sizeof *ids);
  texts = malloc(count * sizeof *texts);
  need(ids != NULL && texts != NULL, "no memory");
  read_numbers(file, ids, count);
  if (prepared) {
    const size_t name_count = (size_t)(request_count * candidate_count);
    int64_t name;
    names = malloc(name_count * sizeof *names);
    need(names != NULL, "no memory");
    for (index = 0; index < name_count; index++) {
      read_numbers(file, &name, 1);
      names[index] = (uint32_t)name;
    }
  }
  for (index = 0; texts_wanted && index < count; index++)
    need(snprintf(texts[index], sizeof texts[index], "category-%06" PRId64, ids[index]) == TEXT_LEN, "a long category");
  fclose(file);
}

static OmomiSlot slot(const OmomiSchema *schema, const char *name) {
  OmomiSlot slot;
  check(omomi_schema_slot(schema, omomi_c_text(name), &slot, &error));
  return slot;
}

static void fill_row(OmomiRow row, const OmomiSlot *slots, size_t at) {
  size_t field;
  for (field = 0; field < (size_t)field_count; field++)
    if (texts_wanted)
      omomi_set_text(row, slots[field], omomi_text_of(texts[at + field], TEXT_LEN));
    else
      omomi_set_id(row, slots[field], ids[at + field]);
}

static void init_request(const OmomiLayout *layout) {
  OmomiLayoutInfo info = OMOMI_LAYOUT_INFO_INIT;
  void *block;
  check(omomi_layout_info(layout, &info, &error));
  need(posix_memalign(&block, 64, info.len_bytes) == 0, "no memory");
  check(omomi_request_init(&request, &info, block, info.len_bytes));
}

/* Puts the candidates of all requests into a set. Each one is first written inline into a request. */
static void open_prepared_scorer(const OmomiSchema *schema, const OmomiLayout *layout, const OmomiModel *model) {
  OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
  OmomiLayout *prepared_layout;
  OmomiCandidateSet *set;
  size_t index, candidate, at = 0;
  check(omomi_candidate_set_open(layout, (size_t)(request_count * candidate_count), 0, &set, &error));
  for (index = 0; index < (size_t)request_count; index++, at += (size_t)field_count)
    for (candidate = 0; candidate < (size_t)candidate_count; candidate++) {
      const uint32_t index_in_set = names[index * (size_t)candidate_count + candidate];
      omomi_request_clear(&request);
      fill_row(omomi_candidate_row(&request, 0), candidate_slots, at += (size_t)field_count);
      check(omomi_request_put_in_set(set, index_in_set, &request, 0, &error));
    }
  free(request.block);
  options.candidate_capacity = (size_t)candidate_count;
  options.candidates = OMOMI_CANDIDATES_PREPARED;
  check(omomi_layout_open_with(schema, &options, &prepared_layout, &error));
  check(omomi_scorer_open_with(&model, 1, prepared_layout, set, &scorer, &error));
  init_request(prepared_layout);
}

static void open_scorer(const char *path) {
  OmomiField fields[2 * MAX_FIELDS];
  char names[2 * MAX_FIELDS][32];
  OmomiSchema *schema;
  OmomiLayout *layout;
  OmomiModel *model;
  const size_t tail_len = texts_wanted ? (size_t)((1 + candidate_count) * field_count * TEXT_LEN) : 0;
  size_t count = 0, index;
  for (index = 0; index < 2 * (size_t)field_count; index++, count++) {
    const int of_context = index < (size_t)field_count;
    const OmomiSide side = of_context ? OMOMI_SIDE_CONTEXT : OMOMI_SIDE_CANDIDATE;
    snprintf(names[count], sizeof names[count], "%s_%d", of_context ? "context" : "candidate",
             (int)(index % (size_t)field_count));
    fields[count] = texts_wanted ? omomi_text_field(omomi_c_text(names[count]), side)
                                 : omomi_id_field(omomi_c_text(names[count]), side);
  }
  check(omomi_schema_open(fields, count, &schema, &error));
  for (index = 0; index < (size_t)field_count; index++) {
    context_slots[index] = slot(schema, names[index]);
    candidate_slots[index] = slot(schema, names[(size_t)field_count + index]);
  }
  check(omomi_layout_open(schema, (size_t)candidate_count, tail_len, &layout, &error));
  check(omomi_model_open(omomi_c_text(path), NULL, &model, &error));
  init_request(layout);
  if (prepared)
    open_prepared_scorer(schema, layout, model);
  else
    check(omomi_scorer_open(model, layout, &scorer, &error));
}

static void score(size_t index) {
  size_t at = index * (size_t)((1 + candidate_count) * field_count), candidate;
  omomi_request_clear(&request);
  fill_row(omomi_context_row(&request), context_slots, at);
  if (prepared) {
    const uint32_t *const named = names + index * (size_t)candidate_count;
    need(omomi_request_set_candidates(&request, named, (size_t)candidate_count) == OMOMI_STATUS_OK, "no candidates");
  } else {
    for (candidate = 0; candidate < (size_t)candidate_count; candidate++)
      fill_row(omomi_candidate_row(&request, candidate), candidate_slots, at += (size_t)field_count);
  }
  check(omomi_request_predict(scorer, &request, (size_t)candidate_count, &error));
}

static uint64_t folded_logits(void) {
  uint64_t folded = 0, bits;
  size_t index, candidate;
  for (index = 0; index < (size_t)request_count; index++) {
    score(index);
    for (candidate = 0; candidate < (size_t)candidate_count; candidate++) {
      const OmomiAnswer answer = omomi_request_answer(&request, candidate);
      memcpy(&bits, &answer.logit, sizeof bits);
      folded = 31 * folded + bits;
    }
  }
  return folded;
}

/* CPU time of this thread, as for the other contestants. */
static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv) {
  int64_t calls, call;
  size_t index = 0, candidate;
  need(argc == 3, "usage: score WEIGHT_FILE REQUESTS");
  read_requests(argv[2]);
  open_scorer(argv[1]);
  printf("%" PRIu64 "\n", folded_logits());
  fflush(stdout);
  while (scanf("%" SCNd64, &calls) == 1) {
    const int64_t start = now_ns();
    for (call = 0; call < calls; call++) {
      float sum = 0;
      score(index = (index + 1) % (size_t)request_count);
      for (candidate = 0; candidate < (size_t)candidate_count; candidate++)
        sum += omomi_request_answer(&request, candidate).probability;
      sum_read = sum;
    }
    printf("%" PRId64 "\n", now_ns() - start);
    fflush(stdout);
  }
  return 0;
}
