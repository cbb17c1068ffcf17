/*
 * careless_calls FOLDER: no matter what a caller passes, the process continues, the error says what was wrong, and a
 * bad candidate fails alone. Has the cases of tests/scoring/careless_calls.rs. FOLDER has small.omomi and broken files.
 */

#define _POSIX_C_SOURCE 200809L

#include "small.h"
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <unistd.h>

static OmomiError error = OMOMI_ERROR_INIT;
static Small small;

static void statuses_have_names_owners_and_actions(void) {
  CHECK(strcmp(omomi_status_name(OMOMI_STATUS_OK), "ok") == 0);
  CHECK(strcmp(omomi_status_name(OMOMI_STATUS_DAMAGED), "damaged") == 0);
  CHECK(strncmp(omomi_status_action(OMOMI_STATUS_DAMAGED), "copy the file again; ", 21) == 0);
  CHECK(omomi_status_owner(OMOMI_STATUS_DAMAGED) == OMOMI_OWNER_INFRA);
  CHECK(strcmp(omomi_owner_name(OMOMI_OWNER_INFRA), "infra") == 0);
  CHECK(strcmp(omomi_owner_name(77), "none") == 0);
  CHECK(strcmp(omomi_status_name(-5), "unknown") == 0 && strcmp(omomi_status_action(12345), "") == 0);
  CHECK(omomi_status_owner(12345) == OMOMI_OWNER_NONE);
  CHECK(strchr(omomi_version(), '.') != NULL);
}

static void null_and_zeroed_rows_in_inline_functions_are_a_status(void) {
  const OmomiSlot slots[] = {{OMOMI_SIDE_CONTEXT, 0, OMOMI_KIND_ID, 0}, {OMOMI_SIDE_CANDIDATE, 0, OMOMI_KIND_TEXT, 1}};
  const int64_t ids[] = {1};
  const uint64_t values[] = {1};
  const OmomiText texts[] = {{"x", 1}};
  OmomiRow rows[3];
  OmomiRequest zeroed;
  uint32_t index = 77;
  size_t row, slot;
  memset(&rows[0], 0, sizeof rows[0]);
  rows[1] = omomi_context_row(NULL);
  rows[2] = omomi_candidate_row(NULL, 0);
  for (row = 0; row < 3; row++) {
    for (slot = 0; slot < 2; slot++) {
      EXPECT(NULL_ARGUMENT, omomi_set_id(rows[row], slots[slot], 1));
      EXPECT(NULL_ARGUMENT, omomi_set_number(rows[row], slots[slot], 1.0));
      EXPECT(NULL_ARGUMENT, omomi_set_text(rows[row], slots[slot], omomi_text("x")));
      EXPECT(NULL_ARGUMENT, omomi_set_text_value(rows[row], slots[slot], 1));
      EXPECT(NULL_ARGUMENT, omomi_set_ids(rows[row], slots[slot], ids, 1));
      EXPECT(NULL_ARGUMENT, omomi_set_texts(rows[row], slots[slot], texts, 1));
      EXPECT(NULL_ARGUMENT, omomi_set_text_values(rows[row], slots[slot], values, 1));
    }
  }
  EXPECT(NULL_ARGUMENT, omomi_request_set_candidate(NULL, 0, 0));
  EXPECT(NULL_ARGUMENT, omomi_request_set_candidates(NULL, NULL, 0));
  omomi_request_clear(NULL);
  CHECK(omomi_request_tail_used_bytes(NULL) == 0 && omomi_request_outcome(NULL).scored_count == 0);
  CHECK(isnan(omomi_request_answer(NULL, 3).probability) && isnan(omomi_request_answer(NULL, 3).logit));
  CHECK(omomi_request_answer(NULL, 3).status == OMOMI_CANDIDATE_NOT_COMPUTED);
  EXPECT_SAYING(NULL_ARGUMENT, "block is null", omomi_request_predict(small.scorer, NULL, 1, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "block is null", omomi_request_predict_within(small.scorer, NULL, 1, 5, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_predict_live(NULL, NULL, 1, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_predict_live_within(NULL, NULL, 1, 5, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_predict_live_fallback(NULL, NULL, 1, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_add_to_set(NULL, NULL, 0, &index, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_put_in_set(NULL, 0, NULL, 0, &error));
  CHECK(index == 77);
  memset(&zeroed, 0, sizeof zeroed);
  omomi_request_clear(&zeroed);
  omomi_request_forget_refusal(&zeroed);
  omomi_row_clear(omomi_context_row(&zeroed));
  EXPECT(NULL_ARGUMENT, omomi_set_id(omomi_context_row(&zeroed), slots[0], 1));
  EXPECT(NULL_ARGUMENT, omomi_set_id(omomi_candidate_row(&zeroed, 0), slots[0], 1));
  EXPECT(NULL_ARGUMENT, omomi_request_set_candidate(&zeroed, 0, 0));
  CHECK(omomi_request_answer(&zeroed, 0).status == OMOMI_CANDIDATE_NOT_COMPUTED);
  CHECK(omomi_request_outcome(&zeroed).generation == 0 && omomi_request_tail_used_bytes(&zeroed) == 0);
  EXPECT(NULL_ARGUMENT, omomi_request_predict(small.scorer, &zeroed, OMOMI_ALL_FILLED, &error));
}

static void count_message(void *data, OmomiLogLevel level, OmomiText message) {
  CHECK(level == OMOMI_LOG_ERROR && strlen(message.text) == message.len_bytes);
  CHECK(strstr(message.text, "a test asked for this panic") != NULL && strstr(message.text, ".rs:") != NULL);
  ++*(int *)data;
}

/* A caught panic once wrote to stderr, and ended a process whose stderr was a closed pipe. */
static void a_panic_writes_to_no_stream_and_reaches_the_log_callback(void) {
  int message_count = 0, ends[2], kept = dup(2);
  char read_bytes[64];
  CHECK(pipe(ends) == 0 && dup2(ends[1], 2) == 2);
  EXPECT(OK, omomi_set_log(count_message, &message_count, &error));
  EXPECT(PANIC, omomi_test_panic(NULL));
  EXPECT(OK, omomi_set_log(NULL, NULL, NULL));
  EXPECT(PANIC, omomi_test_panic(NULL));
  CHECK(message_count == 1);
  /* Nothing came through the pipe. */
  CHECK(dup2(kept, 2) == 2 && close(kept) == 0 && close(ends[1]) == 0);
  CHECK(read(ends[0], read_bytes, sizeof read_bytes) == 0 && close(ends[0]) == 0);
}

static void a_panic_is_a_status_and_the_process_continues(void) {
  EXPECT_SAYING(PANIC, "a test asked for this panic", omomi_test_panic(&error));
  EXPECT(PANIC, omomi_test_panic(NULL));
}

static void an_error_struct_of_an_impossible_size_is_left_alone(void) {
  const size_t sizes[] = {0, 8, 15, 17, 4104, (size_t)-1, (size_t)-8};
  OmomiError other = OMOMI_ERROR_INIT;
  size_t index;
  other.message[0] = 'x';
  for (index = 0; index < sizeof sizes / sizeof sizes[0]; index++) {
    other.size_bytes = sizes[index];
    EXPECT(NULL_ARGUMENT, omomi_scorer_predict(NULL, NULL, 0, 0, &other));
    CHECK(other.status == OMOMI_STATUS_OK && other.message[0] == 'x');
  }
}

/* Older headers may have less room for the message, or none. */
static void an_error_struct_of_another_header_gets_what_it_has_room_for(void) {
  OmomiError other = OMOMI_ERROR_INIT;
  size_t room;
  for (room = 0; room <= 128; room += 8) {
    memset(&other, 'x', sizeof other);
    other.size_bytes = offsetof(OmomiError, message) + room;
    EXPECT(NULL_ARGUMENT, omomi_scorer_predict(NULL, NULL, 0, 0, &other));
    CHECK(other.status == OMOMI_STATUS_NULL_ARGUMENT && other.owner == OMOMI_OWNER_DELIVERY);
    CHECK(other.message[room] == 'x' && (room == 0 || memchr(other.message, 0, room) != NULL));
  }
}

static void an_error_struct_that_nobody_initialized_fails_no_good_call(void) {
  OmomiError garbage;
  OmomiSlot slot;
  memset(&garbage, 0xa5, sizeof garbage);
  CHECK(omomi_schema_slot(small.schema, omomi_text("tag"), &slot, &garbage) == OMOMI_STATUS_OK);
  CHECK(omomi_request_predict(small.scorer, &small.request, SMALL_FILLED, &garbage) == OMOMI_STATUS_OK);
  CHECK(omomi_request_predict(small.scorer, NULL, SMALL_FILLED, &garbage) == OMOMI_STATUS_NULL_ARGUMENT);
  CHECK((unsigned char)garbage.message[0] == 0xa5);
}

static void files_that_are_not_weight_files_are_refused(const char *folder) {
  static const struct {
    const char *name;
    OmomiStatus status;
    const char *text;
  } files[] = {
      {"absent.omomi", OMOMI_STATUS_FILE, "cannot open"},
      {"", OMOMI_STATUS_FILE, "not a regular file"},
      {"text.omomi", OMOMI_STATUS_NOT_A_WEIGHT_FILE, "not a weight file"},
      {"empty.omomi", OMOMI_STATUS_TRUNCATED, "found 0"},
      {"truncated.omomi", OMOMI_STATUS_TRUNCATED, "truncated"},
      {"longer.omomi", OMOMI_STATUS_TOO_LONG, "too long"},
      {"damaged.omomi", OMOMI_STATUS_DAMAGED, "expected the checksum"},
  };
  OmomiModel *const untouched = (OmomiModel *)&small;
  OmomiOpenOptions options = OMOMI_OPEN_OPTIONS_INIT;
  size_t index, mode;
  for (index = 0; index < sizeof files / sizeof files[0]; index++) {
    for (mode = 0; mode < 2; mode++) {
      char path[4096];
      OmomiModel *model = untouched;
      OmomiStatus status;
      snprintf(path, sizeof path, "%s/%s", folder, files[index].name);
      options.load_mode = (OmomiLoadMode)mode;
      status = omomi_model_open(omomi_c_text(path), &options, &model, &error);
      if (status != files[index].status || strstr(error.message, files[index].text) == NULL) {
        fprintf(stderr, "%s: found %s: %s\n", path, omomi_status_name(status), error.message);
        exit(1);
      }
      CHECK(model == untouched);
    }
  }
}

static void careless_opening_is_a_status(const char *path) {
  OmomiOpenOptions options = OMOMI_OPEN_OPTIONS_INIT;
  OmomiModel *model = NULL;
  const size_t len = strlen(path);
  EXPECT_SAYING(NULL_ARGUMENT, "path is null", omomi_model_open(omomi_text_of(NULL, 5), NULL, &model, &error));
  EXPECT(NULL_ARGUMENT, omomi_model_open(omomi_text_of(NULL, 0), NULL, &model, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "out_model is null", omomi_model_open(omomi_text_of(path, len), NULL, NULL, &error));
  EXPECT_SAYING(FILE, "a\\0b", omomi_model_open(omomi_text("a\0b"), NULL, &model, &error));
  {
    /* A path of megabytes once pushed the reason out of the message. */
    static char longest[1 << 20];
    memset(longest, 'x', sizeof longest);
    EXPECT_SAYING(FILE, "ame too long", omomi_model_open(omomi_text_of(longest, sizeof longest), NULL, &model, &error));
    CHECK(strncmp(error.message, "cannot open xxx", 15) == 0 && strlen(error.message) < sizeof error.message);
  }
  EXPECT_SAYING(NOT_UTF8, "first bad byte is at 1", omomi_model_open(omomi_text("a\xff"), NULL, &model, &error));
  EXPECT(INVALID_ARGUMENT, omomi_model_open(omomi_text_of(path, (size_t)-1), NULL, &model, &error));
  options.load_mode = 7;
  EXPECT_SAYING(INVALID_ARGUMENT, "found 7", omomi_model_open(omomi_text_of(path, len), &options, &model, &error));
  options.size_bytes = 4;
  EXPECT_SAYING(WRONG_SIZE, "found 4", omomi_model_open(omomi_text_of(path, len), &options, &model, &error));
  CHECK(model == NULL);
  omomi_model_close(NULL);
  omomi_schema_close(NULL);
  omomi_layout_close(NULL);
  omomi_scorer_close(NULL);
}

static void texts_of_a_model_fit_the_buffer_or_the_call_fails(void) {
  OmomiModelInfo info = OMOMI_MODEL_INFO_INIT;
  char text[9] = "unchanged"; /* without its null byte, which C99 allows and C++ does not */
  char *json;
  size_t len = 77;
  EXPECT(OK, omomi_model_info(small.model, &info, &error));
  CHECK(info.generation == 7 && info.weight_count > 10 && info.bias == -2.25 && info.contract_fingerprint != 0);
  info.size_bytes--;
  EXPECT(WRONG_SIZE, omomi_model_info(small.model, &info, &error));
  EXPECT(NULL_ARGUMENT, omomi_model_info(NULL, &info, &error));
  EXPECT(NULL_ARGUMENT, omomi_model_info(small.model, NULL, &error));

  EXPECT_SAYING(WRONG_SIZE, "expected 9 bytes, found 8", omomi_model_logic_id(small.model, text, 8, &len, &error));
  CHECK(len == 77 && memcmp(text, "unchanged", 9) == 0);
  EXPECT(OK, omomi_model_logic_id(small.model, text, 9, &len, &error));
  CHECK(len == 8 && strcmp(text, "small-v1") == 0);
  EXPECT(NULL_ARGUMENT, omomi_model_logic_id(NULL, text, 9, &len, &error));
  EXPECT(NULL_ARGUMENT, omomi_model_logic_id(small.model, NULL, 9, &len, &error));
  EXPECT(NULL_ARGUMENT, omomi_model_logic_id(small.model, text, 9, NULL, &error));

  EXPECT(OK, omomi_model_contract_json(small.model, NULL, 0, &len, &error));
  json = (char *)malloc(len + 1);
  EXPECT(OK, omomi_model_contract_json(small.model, json, len + 1, &len, &error));
  CHECK(strlen(json) == len && strstr(json, "\"floor_price\"") != NULL);
  EXPECT(NULL_ARGUMENT, omomi_model_contract_json(NULL, NULL, 0, &len, &error));
  free(json);
}

static OmomiStatus declare(const OmomiField *fields, size_t count) {
  OmomiSchema *schema = NULL;
  const OmomiStatus status = omomi_schema_open(fields, count, &schema, &error);
  CHECK((schema != NULL) == (status == OMOMI_STATUS_OK));
  omomi_schema_close(schema);
  return status;
}

static void an_invalid_declaration_is_refused(void) {
  OmomiSchema *schema;
  OmomiSlot slot;
  OmomiField fields[65];
  size_t index;
  for (index = 0; index < 2; index++)
    fields[index] = omomi_id_field(omomi_text("a"), OMOMI_SIDE_CONTEXT);
  EXPECT(OK, declare(fields, 1));
  EXPECT(OK, declare(NULL, 0));
  EXPECT_SAYING(SCHEMA_INVALID, "the field `a` is declared twice", declare(fields, 2));
  EXPECT_SAYING(SCHEMA_INVALID, "found 4294967295", declare(fields, 0xffffffff));
  EXPECT(NULL_ARGUMENT, declare(NULL, 2));
  EXPECT_SAYING(NULL_ARGUMENT, "out_schema", omomi_schema_open(fields, 1, NULL, &error));
  EXPECT(NULL_ARGUMENT, omomi_schema_of_model(NULL, &schema, &error));
  EXPECT(NULL_ARGUMENT, omomi_schema_of_model(small.model, NULL, &error));

  fields[0].size_bytes = 8;
  EXPECT(WRONG_SIZE, declare(fields, 1));
  fields[0] = omomi_id_field(omomi_text("a"), 2);
  EXPECT_SAYING(INVALID_ARGUMENT, "field `a`, found 2", declare(fields, 1));
  fields[0] = omomi_id_field(omomi_text("a"), OMOMI_SIDE_CONTEXT);
  fields[0].kind = 3;
  EXPECT(INVALID_ARGUMENT, declare(fields, 1));
  fields[0] = omomi_id_field(omomi_text("a"), OMOMI_SIDE_CONTEXT);
  fields[0].many = 2;
  EXPECT(INVALID_ARGUMENT, declare(fields, 1));
  fields[0] = omomi_id_field(omomi_c_text(NULL), OMOMI_SIDE_CONTEXT);
  EXPECT_SAYING(SCHEMA_INVALID, "a field has no name", declare(fields, 1));
  fields[0].name.len_bytes = 3;
  EXPECT(NULL_ARGUMENT, declare(fields, 1));
  fields[0] = omomi_id_field(omomi_text("a\xc3"), OMOMI_SIDE_CONTEXT);
  EXPECT(NOT_UTF8, declare(fields, 1));
  fields[0] = omomi_number_field(omomi_text("n"), OMOMI_SIDE_CONTEXT, omomi_text("s"), 1.0, 1.0);
  EXPECT_SAYING(SCHEMA_INVALID, "range of field `n`", declare(fields, 1));
  fields[0] = omomi_number_field(omomi_text("n"), OMOMI_SIDE_CONTEXT, omomi_text("s"), (double)NAN, 1.0);
  EXPECT(SCHEMA_INVALID, declare(fields, 1));
  fields[0] = omomi_many(omomi_number_field(omomi_text("n"), OMOMI_SIDE_CONTEXT, omomi_text("s"), 0.0, 1.0));
  EXPECT_SAYING(SCHEMA_INVALID, "cannot be `many`", declare(fields, 1));
  {
    static char names[65][4];
    for (index = 0; index < 65; index++) {
      snprintf(names[index], sizeof names[index], "f%d", (int)index);
      fields[index] = omomi_id_field(omomi_c_text(names[index]), OMOMI_SIDE_CONTEXT);
    }
  }
  EXPECT_SAYING(SCHEMA_INVALID, "more than 64 context fields", declare(fields, 65));

  EXPECT_SAYING(UNKNOWN_FIELD, "no field `nowhere`", omomi_schema_slot(small.schema, omomi_text("nowhere"), &slot,
                                                                       &error));
  EXPECT_SAYING(UNKNOWN_FIELD, "no field `tag\\u{0}`", omomi_schema_slot(small.schema, omomi_text_of("tag", 4), &slot,
                                                                         &error));
  EXPECT(NULL_ARGUMENT, omomi_schema_slot(NULL, omomi_text("tag"), &slot, &error));
  EXPECT(NULL_ARGUMENT, omomi_schema_slot(small.schema, omomi_text_of(NULL, 3), &slot, &error));
  EXPECT(NULL_ARGUMENT, omomi_schema_slot(small.schema, omomi_text("tag"), NULL, &error));
  EXPECT(NOT_UTF8, omomi_schema_slot(small.schema, omomi_text("\xff"), &slot, &error));
}

static void an_impossible_layout_or_scorer_is_refused(void) {
  const OmomiField field = omomi_id_field(omomi_text("media_id"), OMOMI_SIDE_CONTEXT);
  OmomiLayoutInfo info = OMOMI_LAYOUT_INFO_INIT;
  OmomiSchema *schema;
  OmomiLayout *layout = NULL;
  OmomiScorer *scorer = NULL;
  EXPECT(INVALID_ARGUMENT, omomi_layout_open(small.schema, 0, 0, &layout, &error));
  EXPECT(INVALID_ARGUMENT, omomi_layout_open(small.schema, (size_t)-1, 0, &layout, &error));
  EXPECT(INVALID_ARGUMENT, omomi_layout_open(small.schema, 1, (size_t)-1, &layout, &error));
  EXPECT(NULL_ARGUMENT, omomi_layout_open(NULL, 1, 0, &layout, &error));
  EXPECT(NULL_ARGUMENT, omomi_layout_open(small.schema, 1, 0, NULL, &error));
  CHECK(layout == NULL);
  EXPECT(NULL_ARGUMENT, omomi_layout_info(NULL, &info, &error));
  EXPECT(NULL_ARGUMENT, omomi_layout_info(small.layout, NULL, &error));
  info.size_bytes = 0;
  EXPECT(WRONG_SIZE, omomi_layout_info(small.layout, &info, &error));

  EXPECT(OK, omomi_schema_open(&field, 1, &schema, &error));
  EXPECT(OK, omomi_layout_open(schema, 1, 0, &layout, &error));
  EXPECT_SAYING(FIELD_MISSING, "`interest`", omomi_scorer_open(small.model, layout, &scorer, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "model", omomi_scorer_open(NULL, layout, &scorer, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "layout", omomi_scorer_open(small.model, NULL, &scorer, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "out_scorer", omomi_scorer_open(small.model, small.layout, NULL, &error));
  CHECK(scorer == NULL);
  omomi_layout_close(layout);
  omomi_schema_close(schema);
}

/* A candidate that nobody scored once read as "scored", with a probability of 0 or that of the call before. */
static int no_answers(const OmomiRequest *request) {
  const size_t wrong[] = {0, 1, SMALL_CANDIDATES, (size_t)-1};
  size_t model, index;
  for (model = 0; model < 4; model++) {
    for (index = 0; index < 4; index++) {
      const OmomiAnswer answer = omomi_request_answer_of(request, wrong[model], wrong[index]);
      if (answer.status != OMOMI_CANDIDATE_NOT_COMPUTED || !isnan(answer.probability) || !isnan(answer.logit))
        return 0;
    }
    if (omomi_request_outcome_of(request, wrong[model]).scored_count != 0 ||
        omomi_request_outcome_of(request, wrong[model]).generation != 0)
      return 0;
  }
  return omomi_request_answered_count(request) == 0;
}

static void misuse_of_predict_is_a_status_and_leaves_no_answer(void) {
  OmomiRequest request = small_request(&small);
  unsigned char *block = request.block, *before = (unsigned char *)new_block(&small.info);
  const size_t len = small.info.len_bytes;
  const OmomiSlot region = small_slot(&small, "region");
  unsigned char *region_slot = block + small.info.context_offset + 16 + 8 * region.index;
  uint32_t number = 9;
  EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
  memcpy(before, block, len);
  EXPECT_SAYING(NULL_ARGUMENT, "scorer is null", omomi_scorer_predict(NULL, block, len, 1, &error));
  EXPECT_SAYING(NULL_ARGUMENT, "block is null", omomi_scorer_predict(small.scorer, NULL, len, 1, &error));
  EXPECT_SAYING(MISALIGNED, "multiple of 8", omomi_scorer_predict(small.scorer, block + 4, len, 1, &error));
  EXPECT_SAYING(WRONG_SIZE, "request block", omomi_scorer_predict(small.scorer, block, len - 1, 1, &error));
  EXPECT(WRONG_SIZE, omomi_scorer_predict(small.scorer, block, len + 8, 1, &error));
  EXPECT(WRONG_SIZE, omomi_scorer_predict(small.scorer, block, 0, 1, &error));
  EXPECT_SAYING(TOO_MANY_CANDIDATES, "21", omomi_scorer_predict(small.scorer, block, len, 21, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_scorer_predict(small.scorer, block, len, (size_t)-2, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_predict(NULL, NULL, 0, 0, NULL));
  CHECK(memcmp(before + sizeof(OmomiHeader), block + sizeof(OmomiHeader), len - sizeof(OmomiHeader)) == 0);

  memcpy(block, &number, 4);
  EXPECT_SAYING(INVALID_ARGUMENT, "found 9", omomi_request_predict(small.scorer, &request, 1, &error));
  number = UINT32_MAX;
  memcpy(block, before, 4);
  memcpy(block + 4, &number, 4);
  EXPECT_SAYING(TAIL_FULL, "4294967295", omomi_request_predict(small.scorer, &request, 1, &error));
  memcpy(block + 4, before + 4, 4);
  memset(region_slot, 0xff, 8);
  EXPECT_SAYING(CONTEXT_MALFORMED, "field `region`", omomi_request_predict(small.scorer, &request, 1, &error));
  CHECK(memcmp(before + small.info.results_offset, block + small.info.results_offset,
               small.info.result_stride_bytes) == 0);
  CHECK(no_answers(&request));
  memcpy(block, before, len);
  EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
  EXPECT(NULL_ARGUMENT, omomi_request_predict(NULL, &request, SMALL_FILLED, &error));
  CHECK(no_answers(&request));
  EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_request_predict(small.scorer, &request, 21, &error));
  CHECK(no_answers(&request));
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 0, &error));
  CHECK(omomi_request_outcome(&request).scored_count == 0);
  free(before);
  free(block);
}

static void a_bad_candidate_fails_alone(void) {
  static const struct {
    const char *field;
    uint64_t word;
    uint32_t status;
  } rows[] = {
      {"title", 0xffffffff, OMOMI_CANDIDATE_OUTSIDE_TAIL},
      {"title", (uint64_t)0xffffffff << 32, OMOMI_CANDIDATE_OUTSIDE_TAIL},
      {"title", UINT64_MAX, OMOMI_CANDIDATE_OUTSIDE_TAIL},
      {"tag", 4 | (uint64_t)1 << 32, OMOMI_CANDIDATE_OUTSIDE_TAIL},
      {"tag", (uint64_t)20000 << 32, OMOMI_CANDIDATE_TOO_MANY_VALUES},
      {"tag", (uint64_t)1000 << 32, OMOMI_CANDIDATE_OUTSIDE_TAIL},
  };
  OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  OmomiRequest request = small_request(&small);
  OmomiAnswer before[SMALL_FILLED];
  size_t index, candidate;
  EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
  for (candidate = 0; candidate < SMALL_FILLED; candidate++)
    before[candidate] = omomi_request_answer(&request, candidate);
  for (index = 0; index <= sizeof rows / sizeof rows[0]; index++) {
    uint32_t expected = OMOMI_CANDIDATE_NOT_UTF8;
    small_fill(&small, &request);
    if (index < sizeof rows / sizeof rows[0]) {
      expected = rows[index].status;
      memcpy(request.block + small.info.candidates_offset + small.info.candidate_stride_bytes + 16 +
                 8 * small_slot(&small, rows[index].field).index,
             &rows[index].word, 8);
    } else {
      EXPECT(OK, omomi_set_text(omomi_candidate_row(&request, 1), small_slot(&small, "title"),
                                omomi_text("one \xff byte")));
    }
    EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
    for (candidate = 0; candidate < SMALL_FILLED; candidate++) {
      const OmomiAnswer answer = omomi_request_answer(&request, candidate);
      if (candidate == 1)
        CHECK(answer.status == expected && isnan(answer.probability) && isnan(answer.logit));
      else
        CHECK(memcmp(&answer, &before[candidate], sizeof answer) == 0);
    }
    CHECK(omomi_request_outcome(&request).scored_count == 2 && omomi_request_outcome(&request).refused_count == 1);
    EXPECT(INVALID_ARGUMENT, omomi_scorer_explain(small.scorer, request.block, small.info.len_bytes, 1, &explanation,
                                                  NULL, 0, &error));
  }
  free(request.block);
}

static void setters_refuse_values_that_do_not_fit_and_keep_the_last_of_two_values(void) {
  static const int64_t ids[20000];
  static const uint64_t values[1025];
  static const char long_text[70000];
  OmomiRequest request = small_request(&small), other;
  const OmomiSlot creative_id = small_slot(&small, "creative_id"), title = small_slot(&small, "title");
  const OmomiSlot tag = small_slot(&small, "tag"), region = small_slot(&small, "region");
  const OmomiSlot age = small_slot(&small, "age_seconds"), interest = small_slot(&small, "interest");
  const OmomiText too_long[] = {{"a", 1}, {long_text, sizeof long_text}};
  OmomiSlot nowhere = creative_id;
  OmomiRow row = omomi_candidate_row(&request, SMALL_CANDIDATES);
  uint32_t used;
  uint64_t value;
  OmomiAnswer answers[2];
  EXPECT(TOO_MANY_CANDIDATES, omomi_set_id(row, creative_id, 1));
  EXPECT_SAYING(TOO_MANY_CANDIDATES, "the row in candidate 20 was refused",
                omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
  row = omomi_candidate_row(&request, 0);
  omomi_row_clear(row);
  used = omomi_request_tail_used_bytes(&request);
  nowhere.index = 99;
  EXPECT(UNKNOWN_FIELD, omomi_set_id(row, nowhere, 1));
  EXPECT(WRONG_FIELD_USE, omomi_set_id(row, title, 1));
  EXPECT(WRONG_FIELD_USE, omomi_set_id(row, tag, 1));
  EXPECT(WRONG_FIELD_USE, omomi_set_text(row, region, omomi_text("x")));
  EXPECT(WRONG_FIELD_USE, omomi_set_number(row, title, 1.0));
  EXPECT(WRONG_FIELD_USE, omomi_set_text_value(row, creative_id, 1));
  EXPECT(TOO_MANY_VALUES, omomi_set_ids(row, tag, ids, 20000));
  EXPECT(NULL_ARGUMENT, omomi_set_ids(row, tag, NULL, 1));
  EXPECT(NULL_ARGUMENT, omomi_set_text(row, title, omomi_text_of(NULL, 1)));
  EXPECT(TAIL_FULL, omomi_set_text(row, title, omomi_text_of(long_text, sizeof long_text)));
  EXPECT(TAIL_FULL, omomi_set_text(row, title, omomi_text_of(long_text, (size_t)-1)));
  EXPECT(TAIL_FULL, omomi_set_texts(omomi_context_row(&request), interest, too_long, 2));
  EXPECT(TOO_MANY_VALUES, omomi_set_text_values(omomi_context_row(&request), interest, values, 1025));
  CHECK(omomi_request_tail_used_bytes(&request) == used);
  EXPECT(OK, omomi_set_texts(omomi_context_row(&request), interest, NULL, 0));

  EXPECT(OK, omomi_set_id(row, creative_id, 0));
  EXPECT(OK, omomi_set_id(row, creative_id, 1));
  EXPECT(OK, omomi_set_text(row, title, omomi_text("twice")));
  EXPECT(OK, omomi_set_number(row, age, (double)NAN));
  row = omomi_candidate_row(&request, 1);
  omomi_row_clear(row);
  EXPECT(OK, omomi_set_id(row, creative_id, 1));
  EXPECT(OK, omomi_text_value(omomi_text("twice"), &value, &error));
  EXPECT(OK, omomi_set_text_value(row, title, value));
  EXPECT(TOO_MANY_CANDIDATES, omomi_request_predict(small.scorer, &request, 2, &error));
  omomi_request_forget_refusal(&request);
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 2, &error));
  answers[0] = omomi_request_answer(&request, 0);
  answers[1] = omomi_request_answer(&request, 1);
  CHECK(memcmp(&answers[0], &answers[1], sizeof answers[0]) == 0);
  CHECK(omomi_request_outcome(&request).invalid_number_count == 1);

  EXPECT(NULL_ARGUMENT, omomi_request_init(NULL, &small.info, request.block, small.info.len_bytes));
  EXPECT(NULL_ARGUMENT, omomi_request_init(&other, NULL, request.block, small.info.len_bytes));
  EXPECT(NULL_ARGUMENT, omomi_request_init(&other, &small.info, NULL, small.info.len_bytes));
  EXPECT(MISALIGNED, omomi_request_init(&other, &small.info, request.block + 1, small.info.len_bytes));
  EXPECT(WRONG_SIZE, omomi_request_init(&other, &small.info, request.block, small.info.len_bytes - 8));
  free(request.block);
}

static void an_explanation_sums_to_its_logit_or_the_call_fails(void) {
  OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  OmomiContribution *contributions;
  OmomiRequest *request = &small.request;
  const size_t len = small.info.len_bytes;
  double sum;
  size_t index, count;
  EXPECT(OK, omomi_scorer_explain(small.scorer, request->block, len, 2, &explanation, NULL, 0, &error));
  count = explanation.contribution_count;
  CHECK(count > 8);
  contributions = (OmomiContribution *)malloc(count * sizeof *contributions);
  EXPECT(OK, omomi_scorer_explain(small.scorer, request->block, len, 2, &explanation, contributions, count, &error));
  sum = explanation.bias;
  for (index = 0; index < count; index++) {
    CHECK(contributions[index].name[0] != 0 && contributions[index].source <= 2);
    CHECK(contributions[index].source == 1 || contributions[index].weight == 0.0f);
    sum += (double)contributions[index].weight;
  }
  CHECK(strcmp(contributions[0].name, "media_id") == 0);
  CHECK(fabs(sum - explanation.logit) < 1e-9);
  EXPECT(WRONG_SIZE, omomi_scorer_explain(small.scorer, request->block, len, 2, &explanation, contributions, count - 1,
                                          &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_explain(small.scorer, request->block, len, 2, &explanation, NULL, 1, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_explain(NULL, request->block, len, 2, &explanation, NULL, 0, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_explain(small.scorer, NULL, len, 2, &explanation, NULL, 0, &error));
  EXPECT(NULL_ARGUMENT, omomi_scorer_explain(small.scorer, request->block, len, 2, NULL, NULL, 0, &error));
  EXPECT(WRONG_SIZE, omomi_scorer_explain(small.scorer, request->block, 8, 2, &explanation, NULL, 0, &error));
  EXPECT(TOO_MANY_CANDIDATES, omomi_scorer_explain(small.scorer, request->block, len, (size_t)-1, &explanation, NULL, 0,
                                                   &error));
  explanation.size_bytes = 1;
  EXPECT(WRONG_SIZE, omomi_scorer_explain(small.scorer, request->block, len, 2, &explanation, NULL, 0, &error));
  free(contributions);
}

static void careless_calls_for_feature_keys_are_refused(void) {
  uint64_t number = 5;
  EXPECT(NULL_ARGUMENT, omomi_text_value(omomi_text_of(NULL, 1), &number, &error));
  EXPECT(NULL_ARGUMENT, omomi_text_value(omomi_text("a"), NULL, &error));
  EXPECT_SAYING(NOT_UTF8, "at 2", omomi_text_value(omomi_text("ab\xff"), &number, &error));
  EXPECT(NULL_ARGUMENT, omomi_feature_key(omomi_text_of(NULL, 1), 0, &number, &error));
  EXPECT(NULL_ARGUMENT, omomi_feature_key(omomi_text("a"), 0, NULL, &error));
  EXPECT(NULL_ARGUMENT, omomi_cross_key(omomi_text("a*b"), NULL, 2, &number, &error));
  EXPECT(NULL_ARGUMENT, omomi_cross_key(omomi_text_of(NULL, 3), &number, 1, &number, &error));
  EXPECT(NULL_ARGUMENT, omomi_cross_key(omomi_text("a*b"), &number, 1, NULL, &error));
  EXPECT(INVALID_ARGUMENT, omomi_cross_key(omomi_text("a*b"), &number, (size_t)-1, &number, &error));
  CHECK(number == 5);
}

static void only_candidates_that_were_filled_have_a_probability(void) {
  OmomiRequest request = small_request(&small);
  size_t index;
  EXPECT(OK, omomi_request_predict(small.scorer, &request, OMOMI_ALL_FILLED, &error));
  CHECK(omomi_request_answered_count(&request) == SMALL_FILLED && omomi_request_filled_count(&request) == SMALL_FILLED);
  EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_CANDIDATES, &error));
  for (index = 0; index < SMALL_CANDIDATES; index++) {
    const OmomiAnswer answer = omomi_request_answer(&request, index);
    CHECK((answer.status == OMOMI_CANDIDATE_SCORED) == (index < SMALL_FILLED));
    CHECK(index < SMALL_FILLED || (answer.status == OMOMI_CANDIDATE_NOT_FILLED && isnan(answer.probability)));
  }
  CHECK(omomi_request_outcome(&request).refused_count == SMALL_CANDIDATES - SMALL_FILLED);
  omomi_request_clear(&request);
  CHECK(no_answers(&request) && omomi_request_filled_count(&request) == 0);
  /* In any order, with a gap. */
  (void)omomi_candidate_row(&request, 3);
  (void)omomi_candidate_row(&request, 0);
  (void)omomi_candidate_row(&request, 1);
  EXPECT(OK, omomi_request_predict(small.scorer, &request, OMOMI_ALL_FILLED, &error));
  for (index = 0; index < 4; index++)
    CHECK(omomi_request_answer(&request, index).status ==
          (index == 2 ? OMOMI_CANDIDATE_NOT_FILLED : OMOMI_CANDIDATE_SCORED));
  CHECK(omomi_request_answered_count(&request) == 4);
  free(request.block);
}

static void the_second_call_for_a_row_keeps_its_fields(void) {
  OmomiRequest request = small_request(&small);
  const OmomiSlot creative_id = small_slot(&small, "creative_id"), title = small_slot(&small, "title");
  OmomiAnswer one_call, two_calls;
  OmomiRow row;
  uint32_t missing_count;
  omomi_request_clear(&request);
  row = omomi_candidate_row(&request, 0);
  EXPECT(OK, omomi_set_id(row, creative_id, 1));
  EXPECT(OK, omomi_set_text(row, title, omomi_text("a title")));
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 1, &error));
  one_call = omomi_request_answer(&request, 0);
  omomi_request_clear(&request);
  EXPECT(OK, omomi_set_id(omomi_candidate_row(&request, 0), creative_id, 1));
  EXPECT(OK, omomi_set_text(omomi_candidate_row(&request, 0), title, omomi_text("a title")));
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 1, &error));
  two_calls = omomi_request_answer(&request, 0);
  CHECK(memcmp(&one_call, &two_calls, sizeof one_call) == 0);
  missing_count = omomi_request_outcome(&request).missing_count;
  omomi_row_clear(omomi_candidate_row(&request, 0));
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 1, &error));
  CHECK(omomi_request_outcome(&request).missing_count == missing_count + 2);
  memset(&row, 0, sizeof row);
  omomi_row_clear(row);
  omomi_row_clear(omomi_candidate_row(NULL, 0));
  free(request.block);
}

static void slots_of_another_schema_are_refused(void) {
  const OmomiField field = omomi_id_field(omomi_text("creative_id"), OMOMI_SIDE_CANDIDATE);
  OmomiSlot creative_id = small_slot(&small, "creative_id"), media_id = small_slot(&small, "media_id"), foreign, zero;
  OmomiRequest request = small_request(&small);
  OmomiSchema *schema;
  memset(&zero, 0, sizeof zero);
  EXPECT(OK, omomi_schema_open(&field, 1, &schema, &error));
  EXPECT(OK, omomi_schema_slot(schema, omomi_text("creative_id"), &foreign, &error));
  EXPECT(WRONG_FIELD_USE, omomi_set_id(omomi_candidate_row(&request, 0), foreign, 1));
  EXPECT_SAYING(WRONG_FIELD_USE, "a slot of another schema, or one that was never filled, in candidate 0",
                omomi_request_predict(small.scorer, &request, 1, &error));
  omomi_request_clear(&request);
  EXPECT(WRONG_FIELD_USE, omomi_set_id(omomi_context_row(&request), zero, 1));
  EXPECT(WRONG_FIELD_USE, omomi_set_id(omomi_candidate_row(&request, 0), zero, 1));
  EXPECT_SAYING(WRONG_FIELD_USE, "in the context", omomi_request_predict(small.scorer, &request, 1, &error));
  omomi_request_clear(&request);
  EXPECT(WRONG_FIELD_USE, omomi_set_id(omomi_context_row(&request), creative_id, 1));
  EXPECT_SAYING(WRONG_FIELD_USE, "field `creative_id` in the context was refused before",
                omomi_request_predict(small.scorer, &request, 1, &error));
  omomi_request_clear(&request);
  EXPECT(OK, omomi_set_id(omomi_context_row(&request), media_id, 1));
  EXPECT(OK, omomi_set_id(omomi_candidate_row(&request, 0), creative_id, 1));
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 1, &error));
  omomi_schema_close(schema);
  /* An equal schema has equal slots. */
  EXPECT(OK, omomi_schema_of_model(small.model, &schema, &error));
  EXPECT(OK, omomi_schema_slot(schema, omomi_text("creative_id"), &foreign, &error));
  EXPECT(OK, omomi_set_id(omomi_candidate_row(&request, 0), foreign, 1));
  omomi_schema_close(schema);
  free(request.block);
}

static void predict_returns_the_first_refusal_of_a_setter(void) {
  static const char long_text[70000];
  OmomiExplanation explanation = OMOMI_EXPLANATION_INIT;
  OmomiRequest request = small_request(&small);
  const OmomiSlot creative_id = small_slot(&small, "creative_id"), title = small_slot(&small, "title");
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 1, &error));
  CHECK(omomi_request_refusal(&request) == OMOMI_STATUS_OK);
  /* Most callers do not look at the statuses of setters. */
  omomi_set_text(omomi_candidate_row(&request, 2), title, omomi_text_of(long_text, sizeof long_text));
  omomi_set_text(omomi_candidate_row(&request, 1), creative_id, omomi_text("x"));
  CHECK(omomi_request_refusal(&request) == OMOMI_STATUS_TAIL_FULL);
  EXPECT_SAYING(TAIL_FULL, "field `title` in candidate 2 was refused before: tail_full",
                omomi_request_predict(small.scorer, &request, 3, &error));
  CHECK(no_answers(&request));
  EXPECT(TAIL_FULL, omomi_scorer_explain(small.scorer, request.block, small.info.len_bytes, 0, &explanation, NULL, 0,
                                         &error));
  omomi_request_forget_refusal(&request);
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 3, &error));
  omomi_set_text(omomi_context_row(&request), small_slot(&small, "region"), omomi_text_of(NULL, 3));
  EXPECT_SAYING(NULL_ARGUMENT, "field `region` in the context", omomi_request_predict(small.scorer, &request, 3,
                                                                                      &error));
  omomi_request_clear(&request);
  EXPECT(INVALID_ARGUMENT, omomi_request_set_candidate(&request, 1, 0));
  EXPECT(INVALID_ARGUMENT, omomi_request_predict(small.scorer, &request, 0, &error));
  small_fill(&small, &request);
  EXPECT(OK, omomi_request_predict(small.scorer, &request, 3, &error));
  CHECK(omomi_request_refusal(NULL) == OMOMI_STATUS_NULL_ARGUMENT);
  omomi_request_forget_refusal(NULL);
  free(request.block);
}

static void setting_a_field_again_reuses_the_tail(void) {
  OmomiRequest request = small_request(&small), expected = small_request(&small);
  const OmomiText interests[] = {{"travel", 6}, {"news", 4}, {"", 0}, {"sports", 6}};
  const int64_t tags[] = {1, 2, 3, 4, 5};
  const uint32_t used = omomi_request_tail_used_bytes(&request);
  const OmomiSlot interest = small_slot(&small, "interest"), region = small_slot(&small, "region");
  const OmomiSlot title = small_slot(&small, "title"), tag = small_slot(&small, "tag");
  const OmomiText full[] = {{"\xe6\x97\x85\xe8\xa1\x8c", 6}, {"", 0}, {"news", 4}};
  size_t round, index;
  for (round = 0; round < 10000; round++) {
    const OmomiRow context = omomi_context_row(&request);
    EXPECT(OK, omomi_set_texts(context, interest, interests, round % 3));
    EXPECT(OK, omomi_set_text(context, region, omomi_text_of("kyoto", round % 6)));
    for (index = 0; index < SMALL_FILLED; index++) {
      EXPECT(OK, omomi_set_text(omomi_candidate_row(&request, index), title, omomi_text("a title")));
      EXPECT(OK, omomi_set_ids(omomi_candidate_row(&request, index), tag, tags, 2));
    }
    EXPECT(OK, omomi_set_texts(context, interest, full, 3));
    EXPECT(OK, omomi_set_text(context, region, omomi_text("\xe6\x9d\xb1\xe4\xba\xac")));
    if (round > 20)
      CHECK(omomi_request_tail_used_bytes(&request) < used + 256);
  }
  for (index = 0; index < SMALL_FILLED; index++) {
    const int64_t own[] = {(int64_t)index % 3, 100 + (int64_t)index % 5};
    EXPECT(OK, omomi_set_ids(omomi_candidate_row(&request, index), tag, own, 2));
  }
  EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
  EXPECT(OK, omomi_request_predict(small.scorer, &expected, SMALL_FILLED, &error));
  for (index = 0; index < SMALL_FILLED; index++)
    CHECK(omomi_request_answer(&request, index).logit == omomi_request_answer(&expected, index).logit);
  free(request.block);
  free(expected.block);
}

static void the_rounding_mode_of_a_thread_changes_no_probability(void) {
  const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  OmomiRequest request = small_request(&small);
  OmomiAnswer expected[SMALL_FILLED];
  size_t mode, index;
  EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
  for (index = 0; index < SMALL_FILLED; index++)
    expected[index] = omomi_request_answer(&request, index);
  for (mode = 0; mode < 3; mode++) {
    CHECK(fesetround(modes[mode]) == 0);
    EXPECT(OK, omomi_request_predict(small.scorer, &request, SMALL_FILLED, &error));
    CHECK(fegetround() == modes[mode]);
    for (index = 0; index < SMALL_FILLED; index++) {
      const OmomiAnswer answer = omomi_request_answer(&request, index);
      CHECK(memcmp(&answer, &expected[index], sizeof answer) == 0);
    }
  }
  CHECK(fesetround(FE_TONEAREST) == 0);
  free(request.block);
}

static OmomiAnswer expected_answers[SMALL_FILLED];
static int owner_count;

static void *predict_often(void *unused) {
  OmomiError thread_error = OMOMI_ERROR_INIT;
  OmomiRequest request = small_request(&small);
  size_t round, index;
  (void)unused;
  for (round = 0; round < 2000; round++) {
    const OmomiStatus status = omomi_request_predict(small.scorer, &request, SMALL_FILLED, &thread_error);
    CHECK(status == OMOMI_STATUS_OK || status == OMOMI_STATUS_SCORER_BUSY);
    CHECK(status == OMOMI_STATUS_OK || no_answers(&request));
    if (round == 0 && status == OMOMI_STATUS_OK)
      __atomic_add_fetch(&owner_count, 1, __ATOMIC_SEQ_CST);
    for (index = 0; status == OMOMI_STATUS_OK && index < SMALL_FILLED; index++) {
      const OmomiAnswer answer = omomi_request_answer(&request, index);
      CHECK(memcmp(&answer, &expected_answers[index], sizeof answer) == 0);
    }
  }
  free(request.block);
  return NULL;
}

static void a_scorer_belongs_to_one_thread_until_it_is_handed_over(void) {
  pthread_t threads[4];
  size_t index;
  EXPECT(OK, omomi_request_predict(small.scorer, &small.request, SMALL_FILLED, &error));
  for (index = 0; index < SMALL_FILLED; index++)
    expected_answers[index] = omomi_request_answer(&small.request, index);
  for (index = 0; index < 4; index++)
    CHECK(pthread_create(&threads[index], NULL, predict_often, NULL) == 0);
  for (index = 0; index < 4; index++)
    CHECK(pthread_join(threads[index], NULL) == 0);
  CHECK(owner_count == 0);
  omomi_scorer_hand_over(small.scorer);
  omomi_scorer_hand_over(NULL);
  for (index = 0; index < 4; index++)
    CHECK(pthread_create(&threads[index], NULL, predict_often, NULL) == 0);
  for (index = 0; index < 4; index++)
    CHECK(pthread_join(threads[index], NULL) == 0);
  CHECK(owner_count == 1);
  EXPECT_SAYING(SCORER_BUSY, "belongs to another thread",
                omomi_request_predict(small.scorer, &small.request, SMALL_FILLED, &error));
  omomi_scorer_hand_over(small.scorer);
  EXPECT(OK, omomi_request_predict(small.scorer, &small.request, SMALL_FILLED, &error));
}

static void a_scorer_outlives_its_model_schema_and_layout(const char *path) {
  Small other = small_open(path);
  omomi_model_close(other.model);
  omomi_layout_close(other.layout);
  omomi_schema_close(other.schema);
  EXPECT(OK, omomi_request_predict(other.scorer, &other.request, SMALL_FILLED, &error));
  CHECK(omomi_request_outcome(&other.request).generation == 7);
  omomi_scorer_close(other.scorer);
  free(other.request.block);
}

int main(int argc, char **argv) {
  char path[4096];
  CHECK(argc == 2);
  snprintf(path, sizeof path, "%s/small.omomi", argv[1]);
  small = small_open(path);
  statuses_have_names_owners_and_actions();
  a_panic_is_a_status_and_the_process_continues();
  a_panic_writes_to_no_stream_and_reaches_the_log_callback();
  null_and_zeroed_rows_in_inline_functions_are_a_status();
  an_error_struct_of_an_impossible_size_is_left_alone();
  an_error_struct_of_another_header_gets_what_it_has_room_for();
  an_error_struct_that_nobody_initialized_fails_no_good_call();
  files_that_are_not_weight_files_are_refused(argv[1]);
  careless_opening_is_a_status(path);
  texts_of_a_model_fit_the_buffer_or_the_call_fails();
  an_invalid_declaration_is_refused();
  an_impossible_layout_or_scorer_is_refused();
  misuse_of_predict_is_a_status_and_leaves_no_answer();
  only_candidates_that_were_filled_have_a_probability();
  the_second_call_for_a_row_keeps_its_fields();
  slots_of_another_schema_are_refused();
  predict_returns_the_first_refusal_of_a_setter();
  setting_a_field_again_reuses_the_tail();
  a_bad_candidate_fails_alone();
  setters_refuse_values_that_do_not_fit_and_keep_the_last_of_two_values();
  an_explanation_sums_to_its_logit_or_the_call_fails();
  careless_calls_for_feature_keys_are_refused();
  the_rounding_mode_of_a_thread_changes_no_probability();
  a_scorer_belongs_to_one_thread_until_it_is_handed_over();
  a_scorer_outlives_its_model_schema_and_layout(path);
  small_close(&small);
  printf("every careless call was survived\n");
  return 0;
}
