/*
 * twins LIBRARY FOLDER: the twins of the inline functions, which the library exports, do what the inline functions do.
 * Fills two requests with the same calls, one by each, and compares statuses, answers and blocks byte for byte.
 */

#define _GNU_SOURCE

#include "small.h"
#include <dlfcn.h>

static OmomiError error = OMOMI_ERROR_INIT;
static void *library;

/* Declares a pointer to the twin of an inline function. */
#define TWIN(name) static __typeof__(&name) twin_##name
#define FIND(name) find(#name, &twin_##name, sizeof twin_##name)

TWIN(omomi_text_of);
TWIN(omomi_c_text);
TWIN(omomi_id_field);
TWIN(omomi_text_field);
TWIN(omomi_number_field);
TWIN(omomi_many);
TWIN(omomi_request_init);
TWIN(omomi_request_clear);
TWIN(omomi_context_row);
TWIN(omomi_candidate_row);
TWIN(omomi_row_clear);
TWIN(omomi_set_id);
TWIN(omomi_set_number);
TWIN(omomi_set_text);
TWIN(omomi_set_text_value);
TWIN(omomi_set_ids);
TWIN(omomi_set_texts);
TWIN(omomi_set_text_values);
TWIN(omomi_request_set_candidate);
TWIN(omomi_request_set_candidates);
TWIN(omomi_request_filled_count);
TWIN(omomi_request_tail_used_bytes);
TWIN(omomi_request_refusal);
TWIN(omomi_request_forget_refusal);
TWIN(omomi_request_predict);
TWIN(omomi_request_predict_within);
TWIN(omomi_request_predict_live);
TWIN(omomi_request_predict_live_within);
TWIN(omomi_request_predict_live_fallback);
TWIN(omomi_request_answered_count);
TWIN(omomi_request_answer);
TWIN(omomi_request_answer_of);
TWIN(omomi_request_outcome);
TWIN(omomi_request_outcome_of);
TWIN(omomi_request_add_to_set);
TWIN(omomi_request_put_in_set);

static void find(const char *name, void *twin, size_t len_bytes) {
  void *address = dlsym(library, name);
  if (address == NULL) {
    fprintf(stderr, "the library has no %s\n", name);
    exit(1);
  }
  memcpy(twin, &address, len_bytes);
}

static void find_all(void) {
  FIND(omomi_text_of), FIND(omomi_c_text), FIND(omomi_id_field), FIND(omomi_text_field), FIND(omomi_number_field);
  FIND(omomi_many), FIND(omomi_request_init), FIND(omomi_request_clear), FIND(omomi_context_row);
  FIND(omomi_candidate_row), FIND(omomi_row_clear), FIND(omomi_set_id), FIND(omomi_set_number), FIND(omomi_set_text);
  FIND(omomi_set_text_value), FIND(omomi_set_ids), FIND(omomi_set_texts), FIND(omomi_set_text_values);
  FIND(omomi_request_set_candidates);
  FIND(omomi_request_set_candidate), FIND(omomi_request_filled_count), FIND(omomi_request_tail_used_bytes);
  FIND(omomi_request_refusal), FIND(omomi_request_forget_refusal), FIND(omomi_request_predict);
  FIND(omomi_request_predict_within), FIND(omomi_request_predict_live), FIND(omomi_request_predict_live_within);
  FIND(omomi_request_predict_live_fallback);
  FIND(omomi_request_answered_count), FIND(omomi_request_answer), FIND(omomi_request_answer_of);
  FIND(omomi_request_outcome), FIND(omomi_request_outcome_of), FIND(omomi_request_add_to_set);
  FIND(omomi_request_put_in_set);
}

static uint64_t state = 88172645463325252u;

static size_t random_below(size_t limit) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (size_t)(state % limit);
}

static void fields_are_equal(void) {
  const char name[] = "floor_price";
  OmomiField one, other;
  CHECK(twin_omomi_c_text(name).len_bytes == 11 && twin_omomi_c_text(name).text == name);
  CHECK(twin_omomi_c_text(NULL).len_bytes == 0 && twin_omomi_text_of(name, 5).len_bytes == 5);
  one = omomi_many(omomi_id_field(omomi_c_text(name), OMOMI_SIDE_CANDIDATE));
  other = twin_omomi_many(twin_omomi_id_field(omomi_c_text(name), OMOMI_SIDE_CANDIDATE));
  CHECK(memcmp(&one, &other, sizeof one) == 0);
  one = omomi_text_field(omomi_c_text(name), OMOMI_SIDE_CONTEXT);
  other = twin_omomi_text_field(omomi_c_text(name), OMOMI_SIDE_CONTEXT);
  CHECK(memcmp(&one, &other, sizeof one) == 0);
  one = omomi_number_field(omomi_c_text(name), OMOMI_SIDE_CONTEXT, omomi_c_text(name), -1.5, 2.5);
  other = twin_omomi_number_field(omomi_c_text(name), OMOMI_SIDE_CONTEXT, omomi_c_text(name), -1.5, 2.5);
  CHECK(memcmp(&one, &other, sizeof one) == 0);
}

static const char *const FIELDS[] = {"media_id", "interest", "floor_price", "region",
                                     "creative_id", "title", "tag", "age_seconds"};
static char letters[4096];
static int64_t numbers[1200];

/* Makes the same call on both requests. */
static void call_both(OmomiRequest *one, OmomiRequest *other, const OmomiSlot *slots) {
  const size_t index = random_below(12) == 0 ? random_below(SMALL_CANDIDATES + 3) : random_below(5);
  const size_t count = random_below(20) == 0 ? random_below(1200) : random_below(4);
  const int is_context = random_below(3) == 0;
  OmomiSlot slot = slots[random_below(8)];
  OmomiText texts[4], text;
  OmomiRow row, twin_row;
  size_t item;
  for (item = 0; item < 4; item++)
    texts[item] = omomi_text_of(letters + item, random_below(30) == 0 ? random_below(4000) : random_below(12));
  text = random_below(50) == 0 ? omomi_text_of(NULL, random_below(2)) : texts[0];
  if (random_below(60) == 0)
    slot.index += 9;
  if (random_below(300) == 0) {
    omomi_request_clear(one), twin_omomi_request_clear(other);
    return;
  }
  if (random_below(100) == 0)
    omomi_request_forget_refusal(one), twin_omomi_request_forget_refusal(other);
  row = is_context ? omomi_context_row(one) : omomi_candidate_row(one, index);
  twin_row = is_context ? twin_omomi_context_row(other) : twin_omomi_candidate_row(other, index);
  CHECK(row.offset_bytes == twin_row.offset_bytes && row.row_type == twin_row.row_type && twin_row.request == other);
  if (random_below(40) == 0)
    omomi_row_clear(row), twin_omomi_row_clear(twin_row);
  switch (random_below(9)) {
  case 0:
    CHECK(omomi_set_id(row, slot, -5) == twin_omomi_set_id(twin_row, slot, -5));
    break;
  case 1:
    CHECK(omomi_set_number(row, slot, 1.25) == twin_omomi_set_number(twin_row, slot, 1.25));
    break;
  case 2:
    CHECK(omomi_set_text_value(row, slot, count) == twin_omomi_set_text_value(twin_row, slot, count));
    break;
  case 3:
    CHECK(omomi_set_ids(row, slot, numbers, count) == twin_omomi_set_ids(twin_row, slot, numbers, count));
    break;
  case 4: {
    const uint64_t *values = random_below(30) == 0 ? NULL : (const uint64_t *)numbers;
    CHECK(omomi_set_text_values(row, slot, values, count) ==
          twin_omomi_set_text_values(twin_row, slot, values, count));
    break;
  }
  case 5:
  case 6:
    CHECK(omomi_set_texts(row, slot, texts, count % 5) == twin_omomi_set_texts(twin_row, slot, texts, count % 5));
    break;
  default:
    CHECK(omomi_set_text(row, slot, text) == twin_omomi_set_text(twin_row, slot, text));
  }
}

static void same_state(const OmomiRequest *one, const OmomiRequest *other) {
  CHECK(memcmp(one->block, other->block, one->layout.len_bytes) == 0);
  CHECK(omomi_request_filled_count(one) == twin_omomi_request_filled_count(other));
  CHECK(omomi_request_tail_used_bytes(one) == twin_omomi_request_tail_used_bytes(other));
  CHECK(omomi_request_refusal(one) == twin_omomi_request_refusal(other));
}

static void same_answers(const OmomiRequest *one, const OmomiRequest *other) {
  const OmomiOutcome outcome = omomi_request_outcome(one), twin_outcome = twin_omomi_request_outcome(other);
  const OmomiOutcome second = omomi_request_outcome_of(one, 1), twin_second = twin_omomi_request_outcome_of(other, 1);
  size_t index;
  CHECK(memcmp(&outcome, &twin_outcome, sizeof outcome) == 0 && memcmp(&second, &twin_second, sizeof second) == 0);
  CHECK(omomi_request_answered_count(one) == twin_omomi_request_answered_count(other));
  for (index = 0; index < SMALL_CANDIDATES + 1; index++) {
    const OmomiAnswer answer = omomi_request_answer(one, index), twin = twin_omomi_request_answer(other, index);
    const OmomiAnswer of = omomi_request_answer_of(one, 1, index), twin_of = twin_omomi_request_answer_of(other, 1,
                                                                                                          index);
    CHECK(memcmp(&answer, &twin, sizeof answer) == 0 && memcmp(&of, &twin_of, sizeof of) == 0);
  }
}

static void blocks_and_answers_are_equal(const Small *small) {
  OmomiRequest one, other, prepared, twin_prepared;
  OmomiLayoutOptions options = OMOMI_LAYOUT_OPTIONS_INIT;
  OmomiLayoutInfo info = OMOMI_LAYOUT_INFO_INIT;
  OmomiLayout *layout, *narrow;
  OmomiCandidateSet *set, *twin_set;
  OmomiSlot slots[8];
  size_t round, step, field, refused_count = 0, answered_count = 0;
  uint32_t index, twin_index;
  for (field = 0; field < 8; field++)
    slots[field] = small_slot(small, FIELDS[field]);
  EXPECT(OK, omomi_layout_open(small->schema, SMALL_CANDIDATES, 16384, &narrow, &error));
  EXPECT(OK, omomi_layout_info(narrow, &info, &error));
  EXPECT(OK, omomi_request_open(narrow, &one, &error));
  EXPECT(OK, omomi_request_init(&one, &info, one.block, info.len_bytes));
  CHECK(twin_omomi_request_init(&other, &info, new_block(&info), info.len_bytes) == OMOMI_STATUS_OK);
  CHECK(twin_omomi_request_init(&twin_prepared, &info, one.block + 4, 8) == OMOMI_STATUS_MISALIGNED);
  CHECK(twin_omomi_request_init(&twin_prepared, &info, one.block, 8) == OMOMI_STATUS_WRONG_SIZE);
  CHECK(twin_omomi_request_init(&twin_prepared, NULL, one.block, 8) == OMOMI_STATUS_NULL_ARGUMENT);
  for (round = 0; round < 400; round++) {
    for (step = 0; step < 60; step++) {
      call_both(&one, &other, slots);
      same_state(&one, &other);
    }
    refused_count += omomi_request_refusal(&one) != OMOMI_STATUS_OK;
    if (round % 2 == 0)
      omomi_request_forget_refusal(&one), twin_omomi_request_forget_refusal(&other);
    omomi_scorer_hand_over(small->scorer);
    {
      OmomiScorer *scorer;
      EXPECT(OK, omomi_scorer_open(small->model, narrow, &scorer, &error));
      CHECK(omomi_request_predict(scorer, &one, OMOMI_ALL_FILLED, NULL) ==
            twin_omomi_request_predict(scorer, &other, OMOMI_ALL_FILLED, NULL));
      same_answers(&one, &other);
      answered_count += omomi_request_answered_count(&one);
      CHECK(omomi_request_predict_within(scorer, &one, 2, 1000000, NULL) ==
            twin_omomi_request_predict_within(scorer, &other, 2, 1000000, NULL));
      same_answers(&one, &other);
      omomi_scorer_close(scorer);
    }
    omomi_request_clear(&one), twin_omomi_request_clear(&other);
    same_state(&one, &other);
  }
  CHECK(refused_count > 40 && answered_count > 400);
  CHECK(twin_omomi_request_predict_live(NULL, &other, 1, NULL) == OMOMI_STATUS_NULL_ARGUMENT);
  CHECK(twin_omomi_request_predict_live_within(NULL, &other, 1, 5, NULL) == OMOMI_STATUS_NULL_ARGUMENT);
  CHECK(twin_omomi_request_predict_live_fallback(NULL, &other, 1, NULL) == OMOMI_STATUS_NULL_ARGUMENT);

  options.candidate_capacity = 10;
  options.candidates = OMOMI_CANDIDATES_PREPARED;
  EXPECT(OK, omomi_layout_open_with(small->schema, &options, &layout, &error));
  EXPECT(OK, omomi_request_open(layout, &prepared, &error));
  EXPECT(OK, omomi_request_open(layout, &twin_prepared, &error));
  for (round = 0; round < 2000; round++) {
    const size_t candidate = random_below(12);
    const uint32_t name = random_below(9) == 0 ? UINT32_MAX : (uint32_t)random_below(20);
    CHECK(omomi_request_set_candidate(&prepared, candidate, name) ==
          twin_omomi_request_set_candidate(&twin_prepared, candidate, name));
    same_state(&prepared, &twin_prepared);
    if (random_below(8) == 0) {
      const uint32_t names[12] = {0, name, 2, UINT32_MAX, 4, 5, name, 7, 8, 9, 10, 11};
      const size_t count = random_below(13);
      CHECK(omomi_request_set_candidates(&prepared, names, count) ==
            twin_omomi_request_set_candidates(&twin_prepared, names, count));
      same_state(&prepared, &twin_prepared);
    }
    if (random_below(20) == 0)
      omomi_request_clear(&prepared), twin_omomi_request_clear(&twin_prepared);
  }
  CHECK(omomi_request_set_candidate(&one, 0, 0) == twin_omomi_request_set_candidate(&other, 0, 0));
  CHECK(omomi_candidate_row(&prepared, 0).row_type == twin_omomi_candidate_row(&twin_prepared, 0).row_type);
  same_state(&prepared, &twin_prepared);

  small_fill(small, &one);
  EXPECT(OK, omomi_candidate_set_open(narrow, 10, 4, &set, &error));
  EXPECT(OK, omomi_candidate_set_open(narrow, 10, 4, &twin_set, &error));
  EXPECT(OK, omomi_request_add_to_set(set, &one, 1, &index, &error));
  EXPECT(OK, twin_omomi_request_add_to_set(twin_set, &one, 1, &twin_index, &error));
  EXPECT(OK, twin_omomi_request_put_in_set(twin_set, 7, &one, 2, &error));
  CHECK(index == twin_index);
  EXPECT(NULL_ARGUMENT, twin_omomi_request_put_in_set(twin_set, 7, NULL, 2, &error));
  omomi_candidate_set_close(set);
  omomi_candidate_set_close(twin_set);
  free(other.block);
  one.owns_block = 1;
  omomi_request_close(&one);
  omomi_request_close(&prepared);
  omomi_request_close(&twin_prepared);
  omomi_layout_close(layout);
  omomi_layout_close(narrow);
}

static void null_is_ignored(void) {
  OmomiRequest zeroed;
  OmomiRow row;
  memset(&zeroed, 0, sizeof zeroed);
  memset(&row, 0, sizeof row);
  twin_omomi_request_clear(NULL), twin_omomi_request_clear(&zeroed);
  twin_omomi_request_forget_refusal(NULL), twin_omomi_row_clear(row);
  CHECK(twin_omomi_context_row(NULL).request == NULL && twin_omomi_candidate_row(&zeroed, 0).row_type == 0);
  memset(&row, 0, sizeof row);
  CHECK(twin_omomi_set_id(row, (OmomiSlot){1, 0, 0, 0}, 1) == OMOMI_STATUS_NULL_ARGUMENT);
  CHECK(twin_omomi_request_refusal(NULL) == OMOMI_STATUS_NULL_ARGUMENT);
  CHECK(twin_omomi_request_set_candidate(&zeroed, 0, 0) == OMOMI_STATUS_NULL_ARGUMENT);
  CHECK(twin_omomi_request_filled_count(NULL) == 0 && twin_omomi_request_answered_count(&zeroed) == 0);
  CHECK(twin_omomi_request_answer(NULL, 0).status == OMOMI_CANDIDATE_NOT_COMPUTED);
  CHECK(twin_omomi_request_outcome(NULL).generation == 0);
}

int main(int argc, char **argv) {
  char path[4096];
  Small small;
  size_t index;
  CHECK(argc == 3);
  library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  CHECK(library != NULL);
  find_all();
  snprintf(path, sizeof path, "%s/small.omomi", argv[2]);
  memset(letters, 'x', sizeof letters);
  for (index = 0; index < 1200; index++)
    numbers[index] = (int64_t)index;
  small = small_open(path);
  fields_are_equal();
  blocks_and_answers_are_equal(&small);
  null_is_ignored();
  small_close(&small);
  printf("the twins are equal\n");
  return 0;
}
